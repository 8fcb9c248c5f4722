"""Sound: loading, voice detection, windows, log-mel. Import from the modules; nothing is gathered here."""
