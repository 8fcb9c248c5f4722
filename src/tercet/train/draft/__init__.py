"""Training a draft head on the text of the decoder that it is to speed up."""
