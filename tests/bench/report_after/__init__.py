"""The loops after the performance report: those of `tests.bench.before` with its changes made.

Exactly these (requirements R2 to R7), so that its percentages are tested as they were claimed:

- orders that a message triggers are collected and executed in one batch, on one session with one
  commit, each behind a savepoint; users and settings are read with one call for the batch;
- one query per user type finds stop losses and take profits of a symbol, never one per order;
- the symbols of a message are looked at concurrently, each on a session of its own;
- a price is normalised once for each group; the four reads of pending orders are one pipeline;
- the portfolio job works group by group: settings, prices, users and orders are read once a group;
- static orders come from the cache first, and no session is opened when they are there;
- lines for every price, order and message are DEBUG, which is off.

What the report does not name is as before: each connection does all of it for itself, settings come
from a SCAN of all keys, an order leaves its hash by rewriting it, and statements for an order that
is executed are the same.
"""
