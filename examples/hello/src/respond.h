/* SPDX-License-Identifier: Apache-2.0 */
/* What hello answers: pure, so that it can be tested without a socket. */
#ifndef HELLO_RESPOND_H
#define HELLO_RESPOND_H
#include <stddef.h>

enum outcome { NEED_MORE, KEEP, CLOSE, BAD };

/* Reads one request from `in` (not NUL-terminated). When it is whole, *used is its length and the answer, NUL-terminated,
   is in `out`. `draining` asks the client to come back on another connection. */
enum outcome respond(const char *in, size_t size, int draining, size_t *used, char *out, size_t out_size);

#endif
