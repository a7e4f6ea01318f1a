"""From rules, words and models to labels of rows, without labels of their own."""
