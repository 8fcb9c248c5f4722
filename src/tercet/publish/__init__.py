"""What a model's page on the hub says, from what is known of it: sizes, run, labels, figures. No hub here."""
