"""The tree of drain3."""

from collections.abc import Mapping, Sequence

class LogCluster:
    cluster_id: int
    def get_template(self) -> str: ...

class Node: ...

class Drain:
    root_node: Node
    id_to_cluster: Mapping[int, LogCluster]
    def __init__(self, depth: int = ..., sim_th: float = ...) -> None: ...
    def add_log_message(self, content: str) -> tuple[LogCluster, str]: ...
    def tree_search(
        self, root_node: Node, tokens: Sequence[str], sim_th: float, include_params: bool
    ) -> LogCluster | None: ...
