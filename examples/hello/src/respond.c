/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "respond.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "version.h"

static int has_close(const char *head, size_t size) {
  for (const char *line = head; line < head + size;) {
    const char *end = memmem(line, size - (size_t)(line - head), "\r\n", 2);
    if (!end) return 0;
    if (strncasecmp(line, "connection: close", 17) == 0) return 1;
    line = end + 2;
  }
  return 0;
}

static const char *body_of(const char *path, size_t size, int *status) {
  *status = 200;
  if (size == 1 && path[0] == '/') return "hello from version " HELLO_VERSION "\n";
  if (size == 8 && memcmp(path, "/healthz", 8) == 0) return "ok\n";
  *status = 404;
  return "not found\n";
}

enum outcome respond(const char *in, size_t size, int draining, size_t *used, char *out, size_t out_size) {
  const char *end = memmem(in, size, "\r\n\r\n", 4);
  if (!end) return size > 8192 ? BAD : NEED_MORE;
  *used = (size_t)(end - in) + 4;
  if (size < 5 || memcmp(in, "GET ", 4) != 0) return BAD;
  const char *path = in + 4;
  const char *blank = memchr(path, ' ', (size_t)(end - path));
  if (!blank) return BAD;
  int status = 0;
  const char *body = body_of(path, (size_t)(blank - path), &status);
  const int close_after = draining || has_close(in, *used);
  snprintf(out, out_size, "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n%s\r\n%s", status, status == 200 ? "OK" : "Not Found",
           strlen(body), close_after ? "Connection: close\r\n" : "", body);
  return close_after ? CLOSE : KEEP;
}
