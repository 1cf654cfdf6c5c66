/* SPDX-License-Identifier: Apache-2.0 */
/* hello: one thread a connection. On SIGTERM it goes on answering, asks each client to reconnect, and ends when the last
   one has left or after ten seconds. */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "respond.h"
#include "version.h"

static volatile sig_atomic_t draining;
static atomic_int connections;

static void on_term(int signal) {
  (void)signal;
  draining = 1;
}

static void serve(int fd) {
  char in[16384], out[1024];
  size_t have = 0;
  for (;;) {
    size_t used = 0;
    const enum outcome outcome = respond(in, have, draining, &used, out, sizeof out);
    if (outcome == BAD) return;
    if (outcome == NEED_MORE) {
      const ssize_t got = recv(fd, in + have, sizeof in - have, 0);
      if (got <= 0) return;
      have += (size_t)got;
      continue;
    }
    if (send(fd, out, strlen(out), MSG_NOSIGNAL) < 0) return;
    memmove(in, in + used, have - used);
    have -= used;
    if (outcome == CLOSE) {
      shutdown(fd, SHUT_WR);
      while (recv(fd, in, sizeof in, 0) > 0) {
      }
      return;
    }
  }
}

static void *run(void *argument) {
  const int fd = (int)(long)argument;
  serve(fd);
  close(fd);
  atomic_fetch_sub(&connections, 1);
  return NULL;
}

int main(void) {
  struct sigaction action = {.sa_handler = on_term};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  const char *text = getenv("PORT");
  const int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)(text ? atoi(text) : 8080))};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 512) != 0) return perror("listen"), 1;
  printf("hello version %s listens on %d\n", HELLO_VERSION, ntohs(address.sin_port));
  fflush(stdout);
  const char *broken = getenv("HELLO_BROKEN");
  if (broken && *broken) pause();
  time_t ends = 0;
  for (;;) {
    if (draining && !ends) ends = time(NULL) + 10;
    if (draining && (atomic_load(&connections) == 0 || time(NULL) >= ends)) break;
    struct pollfd wait = {listener, POLLIN, 0};
    if (poll(&wait, 1, 100) <= 0) continue;
    const int fd = accept(listener, NULL, NULL);
    if (fd < 0) continue;
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 128 * 1024);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    atomic_fetch_add(&connections, 1);
    if (pthread_create(&thread, &attributes, run, (void *)(long)fd) != 0) {
      atomic_fetch_sub(&connections, 1);
      close(fd);
    }
  }
  printf("hello has drained\n");
  return 0;
}
