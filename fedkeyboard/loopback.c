/* Preloaded into TFF's worker, so that nothing outside this machine can reach it.
 *
 * The worker serves gRPC on every address, without authentication, and has no option to do
 * otherwise. This bind() stands before libc's and turns "any address" into the loopback one:
 * 0.0.0.0 into 127.0.0.1, and :: into ::1, or into ::ffff:127.0.0.1 where the socket serves IPv4
 * too (gRPC's usual one), so that the parent always connects to 127.0.0.1.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int bind(int socket, const struct sockaddr *address, socklen_t length) {
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
  if (length >= sizeof v4 && address->sa_family == AF_INET) {
    memcpy(&v4, address, sizeof v4);
    if (v4.sin_addr.s_addr == htonl(INADDR_ANY)) v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return syscall(SYS_bind, socket, &v4, sizeof v4);
  }
  if (length >= sizeof v6 && address->sa_family == AF_INET6) {
    memcpy(&v6, address, sizeof v6);
    if (IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr)) {
      int only_v6 = 0;
      socklen_t size = sizeof only_v6;
      getsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, &size);
      inet_pton(AF_INET6, only_v6 ? "::1" : "::ffff:127.0.0.1", &v6.sin6_addr);
    }
    return syscall(SYS_bind, socket, &v6, sizeof v6);
  }
  return syscall(SYS_bind, socket, address, length);
}
