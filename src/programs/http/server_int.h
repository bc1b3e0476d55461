/*
 * server_int.h
 *		What the parts of the server share.
 *
 * server.c starts and stops it, clients.c handles the clients, transaction.c
 * the database, wait.c waits for deliveries, and usage.c does the housekeeping.
 */
#ifndef SERVER_INT_H
#define SERVER_INT_H

#include "common/clock.h"
#include "common/loop.h"
#include "http/metrics.h"
#include "http/pool.h"
#include "http/request.h"
#include "http/settings.h"

struct MHD_Connection;
struct MHD_Daemon;

/* A key and when it was last used. */
typedef struct KeyUse
{
	char *key_id;
	int64_t at; /* wall clock */
} KeyUse;

typedef struct Usage
{
	KeyUse *keys;
	int count;
	int telling; /* how many of them are being told */
	int64_t due;
	Job job;
} Usage;

/* A connection of a client. */
typedef struct Peer
{
	struct MHD_Connection *connection;
	int fd;
	int tls_generation; /* of the certificate when it began */
	Request *request;   /* under way, or NULL */
	bool is_busy;       /* with a request */
	bool is_reading;    /* whose body is being read */
	bool is_answered;   /* whose answer is being sent */
	int64_t since;      /* that is so */
	struct Peer *next;
	struct Peer **link;
} Peer;

typedef struct Server
{
	const Settings *settings;
	Pool *pool;
	Figures figures;
	LoopTimer wake;
	Request *waiting;
	int64_t usual_wait; /* of single replays: until the last delivery; 0 if not known */
	Usage usage;

	/* Clients. */
	int listen_fd;
	struct MHD_Daemon *daemon;
	Peer *peers;
	int64_t swept_at;
	bool has_resumed; /* a connection, which the library has to look at */

	/* Its end. */
	bool stopping;
	int64_t stop_at;
	bool forced; /* something was broken off */
} Server;

/* clients.c */
extern bool ClientsStart(Server *server, int *port);
extern void ClientsAdvance(Server *server, int64_t now, int64_t *wake);
extern void ClientsReload(Server *server);
extern void ClientsStopListening(Server *server);
extern void ClientsEnd(Server *server);

/* transaction.c */
extern void CallStart(Request *request);
extern void CallAbandon(Request *request);

/* wait.c */
extern bool WaitWanted(const Request *request);
extern int64_t WaitFirstLook(int64_t usual, int64_t *delay);
extern void WaitStart(Request *request);
extern void WaitAdvance(Server *server, int64_t now, int64_t *wake);
extern void WaitAbandon(Request *request);

/* usage.c */
extern void UsageStart(Server *server);
extern void UsageNote(Server *server, const char *key_id);
extern void UsageAdvance(Server *server, int64_t now, int64_t *wake);
extern bool UsageIsOver(const Server *server);
extern void UsageEnd(Server *server);

#endif
