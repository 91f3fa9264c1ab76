"""The same restorer in a browser: restore an image, train from two archives, measure pairs.

What the page does stands in modules that know nothing of the page (session, restoring, training, measuring); page.py
lays it out with gradio.
"""

HOST, PORT = "127.0.0.1", 7860
