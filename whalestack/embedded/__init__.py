"""PostgreSQL and Redis that come with the package and live only as long as who started them.

Nothing here touches a server it did not start: PostgreSQL listens on a socket in its own
private folder, Redis on a free loopback port with a password of its own.
"""

from whalestack.embedded.postgres import EmbeddedPostgres
from whalestack.embedded.redis import EmbeddedRedis
from whalestack.embedded.stores import EmbeddedStores, embedded_stores

__all__ = ["EmbeddedPostgres", "EmbeddedRedis", "EmbeddedStores", "embedded_stores"]
