"""All peers; a peer's number is its place here."""

import contiguous
import maps
import paged

PEERS = [*contiguous.PEERS, *paged.PEERS, *maps.PEERS]
