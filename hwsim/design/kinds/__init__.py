"""The specs of device kinds, one file a kind."""
