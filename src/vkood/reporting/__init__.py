"""HTML pages rendered from Jinja templates with one style sheet, pictures and figures in them."""
