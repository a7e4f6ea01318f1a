"""Rules that a row must keep to be selected, over the columns of any stage, and what each of them dropped."""
