"""The pages, one module or package for each section of the navigation."""
