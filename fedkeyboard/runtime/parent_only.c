/* Preloaded into TFF's worker, so that its parent alone can reach it.
 *
 * The worker serves gRPC on every network address, without authentication, and has no option to do
 * otherwise; who reaches it has it read and write any file. Here it gets no network socket at all:
 * bind() puts in the place of one the Unix socket that the parent made, connected to and unlinked,
 * so that nobody else finds it. Should somebody have been faster, accept4() closes all connections
 * but the parent's: the kernel says which process connected, whatever that process says.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int bind(int socket, const struct sockaddr *address, socklen_t length) {
  if (length < sizeof address->sa_family ||
      (address->sa_family != AF_INET && address->sa_family != AF_INET6))
    return syscall(SYS_bind, socket, address, length);
  const char *listener = getenv("FEDKEYBOARD_LISTENER"); /* The descriptor that worker.py passes. */
  if (!listener) {
    errno = EACCES;
    return -1;
  }
  return dup3(atoi(listener), socket, O_CLOEXEC) < 0 ? -1 : 0;
}

static int is_from_parent(int connection) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  return !getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) &&
         peer.uid == geteuid() && peer.pid == getppid();
}

int accept4(int socket, struct sockaddr *address, socklen_t *length, int flags) {
  const socklen_t room = length ? *length : 0;
  for (;;) {
    int connection = syscall(SYS_accept4, socket, address, length, flags);
    if (connection < 0 || is_from_parent(connection)) return connection;
    close(connection);
    if (length) *length = room;
  }
}
