/* SPDX-License-Identifier: Apache-2.0 */
/* server.h: the server: the real ports, wired to the rooms.
 *
 * One process is one member. Its threads: the loop (clients, peers, replica), the log writer, one
 * worker, and what RocksDB keeps for itself.
 */
#ifndef OAK_SERVER_H
#define OAK_SERVER_H

/* Parse the command line (argv[0] is the program), serve until SIGINT or SIGTERM, and return the
 * exit code: 0 after an orderly stop, 1 on a failure that was reported, 2 on bad usage. */
int oak_server_main(int argc, char **argv);

#endif
