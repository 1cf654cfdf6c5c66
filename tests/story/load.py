# SPDX-License-Identifier: Apache-2.0
"""A steady load on one address, as a program of its own so that nothing else slows it down.

    load.py HOST PORT RATE OUTPUT

sends RATE requests a second, every other one on a new connection, until SIGTERM; then writes what came of them as JSON.
Requests are sent by the clock, whether or not earlier ones were answered. Nothing is sent twice. A failure is any
answer but 2xx, a connection that is refused or reset, or five seconds without an answer."""
import asyncio
import json
import signal
import sys
import time

ANSWER_LIMIT = 5.0
KEPT_CONNECTIONS = 16
MAX_FAILURES_TOLD = 20


async def read_answer(reader):
    """Status, body and whether the server keeps the connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    lines = head.split("\r\n")
    fields = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines[1:] if line)}
    body = await reader.readexactly(int(fields.get("content-length", "0")))
    return int(lines[0].split()[1]), body.decode("utf-8", "replace"), fields.get("connection", "").lower() != "close"


class Load:
    def __init__(self, host, port, rate):
        self.host, self.port, self.rate = host, port, rate
        self.kept = []
        self.latencies, self.failures, self.versions = [], [], {}
        self.failed = self.late = 0
        self.stopping = asyncio.Event()

    async def exchange(self, keep):
        connection = self.kept.pop(0) if keep and len(self.kept) >= KEPT_CONNECTIONS else None
        if connection is None:
            connection = await asyncio.open_connection(self.host, self.port)
        reader, writer = connection
        is_kept = False
        try:
            ending = "" if keep else "Connection: close\r\n"
            writer.write(f"GET / HTTP/1.1\r\nHost: {self.host}\r\n{ending}\r\n".encode())
            status, body, server_keeps = await read_answer(reader)
            if not 200 <= status < 300:
                raise OSError(f"status {status}")
            self.versions[body.strip()] = self.versions.get(body.strip(), 0) + 1
            is_kept = keep and server_keeps
            if is_kept:
                self.kept.append(connection)
        finally:
            if not is_kept:
                writer.close()

    async def one(self, number):
        keep = number % 2 == 0
        begun = time.monotonic()
        try:
            await asyncio.wait_for(self.exchange(keep), ANSWER_LIMIT)
            self.latencies.append(time.monotonic() - begun)
        except (OSError, EOFError, ValueError, IndexError, asyncio.TimeoutError) as error:
            self.failed += 1
            if len(self.failures) < MAX_FAILURES_TOLD:
                why = f"{type(error).__name__} {error}".strip()
                self.failures.append({"at": time.time(), "seconds": round(time.monotonic() - begun, 3), "connection": "kept" if keep else "new", "why": why})

    async def run(self):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stopping.set)
        begun, number, pending = time.monotonic(), 0, set()
        while not self.stopping.is_set():
            due = begun + number / self.rate
            wait = due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            elif wait < -0.5:
                self.late += 1
            task = asyncio.ensure_future(self.one(number))
            pending.add(task)
            task.add_done_callback(pending.discard)
            number += 1
        if pending:
            await asyncio.wait(pending)
        return self.report(number, time.monotonic() - begun)

    def report(self, sent, seconds):
        ordered = sorted(self.latencies)
        at = lambda share: round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) if ordered else None
        return {"sent": sent, "seconds": round(seconds, 2), "failed": self.failed, "late": self.late, "failures": self.failures, "versions": self.versions,
                "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1.0)}


def main():
    host, port, rate, output = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]

    async def go():
        return await Load(host, port, rate).run()

    report = asyncio.run(go())
    with open(output, "w", encoding="utf-8") as file:
        json.dump(report, file)


if __name__ == "__main__":
    main()
