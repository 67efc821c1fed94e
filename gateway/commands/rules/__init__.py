"""`sallyport rules`: what rules read, whether they do what their author meant, and what they would do now."""
