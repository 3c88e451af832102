"""A message explained: it takes the code of the traffic port, to a backend that is played.

Commands load it. The process that serves does not.
"""
