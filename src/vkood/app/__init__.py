"""The app in the browser: a photograph, a question, and the facts that belong to them."""
