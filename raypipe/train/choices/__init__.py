"""Many small classification tasks learnt by one language model, which answers with the letter of a choice.

Source: R. Dominguez-Olmedo et al., Lawma: The Power of Specialization for Legal Tasks, arXiv 2407.16615, 2024;
what its text leaves open is as in the prompts, splits and scores released with it. Departures stand in each file.
The way of a row: read -> split by case -> class cap -> prompt -> mixture -> next token on the answer -> evaluation.
"""
