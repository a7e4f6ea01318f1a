"""New labelled texts from those of a class: generators, what is kept of them, and where each row comes from."""
