"""What `sallyport` does, one file for each command; `gateway/cli.py` knows their arguments."""
