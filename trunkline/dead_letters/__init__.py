"""Dead letters: read them, whoever wrote them, group them, redrive, export and discard them."""
