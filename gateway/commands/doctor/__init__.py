"""`sallyport doctor`: the real cause of what does not work, and what to do about it."""
