"""`sealyard demo`: Sealyard in a minute, with nothing installed and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from pathlib import Path

import click

from ...demo import old_messages, private_talk, searching, story, three_readers
from ...demo.acts import Buttons
from ...demo.screen import Screen
from ...demo.stage import stage
from ..policy import ExitCode
from ..support import console


@click.command()
@click.option("--check", is_flag=True, help="Exit after the story, with 1 if a claim did not hold.")
def demo(*, check: bool) -> None:
    """Show a chat backend, Sealyard in front of it, and what each of them sees.

    \b
    sealyard demo
    sealyard demo --check

    Listens on 127.0.0.1 and uses a temporary folder, which is removed at the end.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    colors = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    screen = Screen(click.echo, colors=colors)
    with tempfile.TemporaryDirectory(prefix="sealyard-demo-") as folder:
        asyncio.run(_show(Path(folder), screen, stay=not check))
    for text in screen.failed:
        console.say(f"did not hold: {text}")
    sys.exit(ExitCode.NEGATIVE if screen.failed else ExitCode.OK)


async def _show(folder: Path, screen: Screen, *, stay: bool) -> None:
    async with stage(folder / "with-rules", buttons=Buttons) as scene:
        await story.play(scene, screen)
        await story.control(folder / "without-rules", screen)
        await story.look_for_plaintext(scene, screen)
        await private_talk.play(folder / "end-to-end", screen)
        await old_messages.play(scene, screen)
        await three_readers.play(folder / "three-readers", screen)
        await searching.play(folder / "searching", screen)
        if not stay or screen.failed:
            return
        scene.tap.chapter = ""
        url = f"http://127.0.0.1:{scene.port}/api"
        screen.chapter(
            "Your turn",
            "The demo runs until you press Ctrl-C. A browser shows the story so far, live messages,"
            " and buttons to send, tamper and move:",
        )
        screen.write(f"    http://127.0.0.1:{scene.page}/")
        screen.write("Send a message:")
        screen.quote(f"curl -s {url}/messages -H 'Content-Type: application/json' \\")
        screen.quote("""  -d '{"conversationId": "ward-7", "content": "Hello"}'""")
        screen.quote(f"curl -s {url}/conversations/ward-7/messages")
        screen.quote(
            f"curl -s http://127.0.0.1:{scene.backend.port}/api/conversations/ward-7/messages"
        )
        screen.write("  The last command queries the backend directly.")
        await _interrupted()


async def _interrupted() -> None:
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, done.set)
    await done.wait()
