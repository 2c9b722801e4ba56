"""Folder layouts in which the field's data sets come: where images and labels lie, and what is known of them.

A layout is a list of pairs of files and a table of facts; what reads them are the readers for chips, rasters and vectors.
Nothing is downloaded, and a part of a data set is read as well as the whole.
"""
