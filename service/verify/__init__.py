"""The check of a database: does what is stored agree with itself and with the domain?"""
