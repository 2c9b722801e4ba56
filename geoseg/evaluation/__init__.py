"""What is known about a model's errors: its maps against labels, beside maps that cost nothing.

Maps are made by the road of ``geoseg run``; nothing here has a way of its own from pixels to classes.
"""
