"""An MCP server that does what servers do at worst, on the official Python library: `fickle.py NOTES [PORT]`.

It speaks on standard input and output, or with a port over streamable HTTP. It notes its calls in a file.
"""

import os
import sys

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.types import ToolAnnotations

server = MCPServer("fickle")


def note(what: str) -> None:
    with open(sys.argv[1], "a") as notes:
        print(what, file=notes, flush=True)


@server.tool()
def pay(amount: int) -> str:
    """Pays, and must not be called twice."""
    note(f"pay {amount}")
    return f"paid {amount}"


@server.tool()
def die() -> str:
    """Does something, and dies of it."""
    note("die")
    os._exit(9)


@server.tool(annotations=ToolAnnotations(readOnlyHint=True))
async def late(seconds: float) -> str:
    """Answers late."""
    note(f"late {seconds}")
    await anyio.sleep(seconds)
    return f"at last, after {seconds} s"


@server.tool()
async def late_payment(seconds: float) -> str:
    """Pays late, and must not be called twice."""
    note(f"late_payment {seconds}")
    await anyio.sleep(seconds)
    return "paid late"


@server.tool()
async def grow(ctx: Context) -> str:
    """Gets a tool more and a tool less, and says so."""

    @server.tool()
    def grown() -> str:
        """Was not there before."""
        return "here I am"

    server.remove_tool("pay")
    await ctx.session.send_tool_list_changed()
    return "grown"


if len(sys.argv) > 2:
    server.run("streamable-http", port=int(sys.argv[2]))
else:
    print("Welcome! I am no message.", flush=True)
    server.run()
