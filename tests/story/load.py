# SPDX-License-Identifier: Apache-2.0
"""A steady load on the Service: new and kept connections, no retry; everything that is not a 2xx answer is a failure."""
import http.client
import threading
import time

THREADS = 20
ANSWER_WITHIN = 5.0


class Load:
    def __init__(self, address, port, per_second=200):
        self.address, self.port = address, port
        self.pause = THREADS / per_second
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.seconds, self.failures, self.versions = [], [], set()
        self.late = 0.0

    def __enter__(self):
        self.threads = [threading.Thread(target=self.work, args=(i,), daemon=True) for i in range(THREADS)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(ANSWER_WITHIN + 2)

    def work(self, number):
        keeps = number % 2 == 0
        connection = None
        due = time.monotonic() + number * self.pause / THREADS
        while not self.stopping.is_set():
            time.sleep(max(0.0, due - time.monotonic()))
            self.late = max(self.late, time.monotonic() - due)
            due = max(due + self.pause, time.monotonic() - 1)
            if connection is None:
                connection = http.client.HTTPConnection(self.address, self.port, timeout=ANSWER_WITHIN)
            connection = self.ask(connection, keeps)

    def ask(self, connection, keeps):
        begin = time.monotonic()
        try:
            connection.request("GET", "/", headers={} if keeps else {"Connection": "close"})
            answer = connection.getresponse()
            text = answer.read().decode().strip()
            with self.lock:
                self.seconds.append(time.monotonic() - begin)
                if 200 <= answer.status < 300:
                    self.versions.add(text)
                else:
                    self.failures.append(f"{answer.status} {text}")
            if keeps and not answer.will_close:
                return connection
        except (OSError, http.client.HTTPException) as error:
            with self.lock:
                kind = "kept" if keeps else "new"
                self.failures.append(f"{kind} connection, after {time.monotonic() - begin:.2f} s: {type(error).__name__} {error}")
        connection.close()
        return None

    def summary(self):
        with self.lock:
            ordered = sorted(self.seconds)
        if not ordered:
            return "no answer at all"
        p50, p99 = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
        return f"{len(ordered)} requests, {len(self.failures)} failed, p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms"
