"""From labels to a model folder: ``geoseg train``. ``shipped`` made the weights that come with geoseg."""
