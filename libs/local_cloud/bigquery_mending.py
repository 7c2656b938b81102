"""Replacing parts of bqemulator, and noticing when they are not there any more."""

from typing import Any


class MovedError(RuntimeError):
    def __init__(self, owner: Any, name: str) -> None:
        where = getattr(owner, "__name__", type(owner).__name__)
        super().__init__(f"bqemulator has no {where}.{name}: this front mends release 1.4.0")


def replace(owner: Any, name: str, new: Any) -> Any:
    """Put `new` where `name` is and return what was there; raises `MovedError`."""
    if not hasattr(owner, name):
        raise MovedError(owner, name)
    old = getattr(owner, name)
    setattr(owner, name, new)
    return old


def replace_route(router: Any, name: str, endpoint: Any) -> None:
    """Give a route another endpoint, in the same place of the router's order."""
    for index, route in enumerate(router.routes):
        if getattr(route, "name", "") == name:
            router.add_api_route(
                route.path.removeprefix(router.prefix),
                endpoint,
                methods=sorted(route.methods),
                name=name,
                status_code=route.status_code,
                response_model=None,
            )
            router.routes[index] = router.routes.pop()
            return
    raise MovedError(router, name)
