"""The loops before the performance report, written anew: what its percentages are measured from.

They do what the platform that was reported on did, as often as it did it: a session on the database
for every order that triggers, one call to the cache for every user, price and setting, symbols one
after the other, a SCAN of the whole keyspace for a group's settings, nine log lines for every
resting order on every tick, two queries for every open order on every tick, all of it once for each
WebSocket connection.

They decide what the service decides. Where the original was wrong (buy prices for sell orders,
every connection's own group price for the orders of all groups, stop losses lost when an order
opens, no lock and no check of the state it expects) they are right, at no more calls. In favour of
the original are left out: the session that every socket holds for life (it borrows one for a
message), the HTTP read of a remote feed for every valuation (one MGET on a socket's, none in the
job), expiring prices, retries, and the second commit of every opening. It gets an index on open
positions by symbol, which it did not have. It has a connection pool, statements that stay prepared,
and one pub/sub connection a socket, as it had.

Tables are the service's own, keys in Redis those of the original. Prices are decimals here and
points in the tables.
"""
