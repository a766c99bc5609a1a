"""`make bench`: what the toolkit takes beside a bare scan, beside other libraries, and as members grow; ratios of one run.

Outside the package: nothing here is installed with it, and the libraries it is compared with are no dependencies of it.
"""
