"""Where bytes come from. One protocol, one folder or file a kind."""
