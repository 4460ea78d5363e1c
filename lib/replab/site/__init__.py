"""The site: the claims board, a page for each claim and run, notebooks, documents, the API."""
