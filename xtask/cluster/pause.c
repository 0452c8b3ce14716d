/* Holds namespaces and takes over orphans: the first process of every pod and, with an argument, of the cluster itself.
   There it begins when it has read a byte, and ends when there will be none. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void leave(int signal) { (void)signal; _exit(0); }
static void reap(int signal) { (void)signal; while (waitpid(-1, 0, WNOHANG) > 0); }

int main(int count, char **arguments) {
  char byte;
  (void)arguments;
  signal(SIGCHLD, reap);
  if (count > 1) {
    if (read(0, &byte, 1) != 1) return 1;
  } else {
    signal(SIGINT, leave);
    signal(SIGTERM, leave);
  }
  for (;;) pause();
}
