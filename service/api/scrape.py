"""GET /metrics: the text is made in slices, and ticks are let in after each.

Limits: a scrape shows numbers of a few milliseconds rather than of one moment; a child's own lines
(the buckets, count and sum of a histogram) are of one.
"""

import asyncio
import time

from aiohttp import hdrs, web

from service.instruments import Instruments
from telemetry.exposition import choose_format


async def scrape(request: web.Request, instruments: Instruments) -> web.Response:
    """Answer a scrape in the format it asks for, and measure what it cost."""
    form = choose_format(",".join(request.headers.getall(hdrs.ACCEPT, ())))
    slices: list[str] = []
    took_s = longest_s = 0.0
    started = time.perf_counter()
    for each in instruments.metrics.render(form):
        slices.append(each)
        seconds = time.perf_counter() - started
        took_s += seconds
        longest_s = max(longest_s, seconds)
        await asyncio.sleep(0)
        started = time.perf_counter()
    instruments.scraped(took_s, longest_s)
    body = "".join(slices).encode()
    return web.Response(body=body, headers={hdrs.CONTENT_TYPE: form.content_type})
