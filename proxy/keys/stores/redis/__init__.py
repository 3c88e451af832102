"""Store `redis`: one server, Sentinel or a cluster."""
