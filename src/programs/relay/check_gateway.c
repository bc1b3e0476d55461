/*
 * check_gateway.c
 *		--check: what the gateway says to a dispatch that it does not execute.
 *
 * A dispatch with dry_run is evaluated as any other, with key, role, grant,
 * signature and rules, and executes nothing.  Where replay protection is on it uses
 * up its id, which is made for this and belongs to no action; sending the same once
 * more shows whether it is on.
 */
#include "relay/check_gateway.h"

#include <string.h>
#include <time.h>

#include <openssl/rand.h>

#include "common/json.h"
#include "common/report.h"
#include "relay/answer.h"
#include "relay/easy.h"

#define DRY_RUN_PATH "/v1/dispatch?dry_run=true"
#define LIST_PATH "/v1/audit?limit=1"
#define HEALTH_PATH "/health"

/*
 * Take what the key is to be tried with: tenant, namespace, provider, action type.
 */
void
TrialTake(Trial *trial, const char *const parts[4])
{
	Buffer *const places[] = {&trial->tenant, &trial->name_space, &trial->provider,
							  &trial->action_type};

	for (int i = 0; i < 4; i++)
	{
		BufferClear(places[i]);
		JsonAppendString(places[i], parts[i], strlen(parts[i]));
	}
	trial->known = true;
}

/*
 * Give it back.
 */
void
TrialFree(Trial *trial)
{
	BufferFree(&trial->tenant);
	BufferFree(&trial->name_space);
	BufferFree(&trial->provider);
	BufferFree(&trial->action_type);
}

/* A payload with numbers that the gateway reads or prints in a way of its own. */
#define ODD_NUMBERS \
	"[1e21, 1e-7, 12.0, -0, 0.31622776601683794, 5.684341886080802e-14, 18446744073709551616]"

/*
 * Write an action that never was, with an id of its own: a random UUID.
 */
static void
write_action(const Trial *trial, const char *payload, Buffer *body)
{
	unsigned char id[16];
	char now[40];
	time_t wall = time(NULL);
	struct tm utc;

	if (RAND_bytes(id, sizeof(id)) != 1)
		memset(id, 0, sizeof(id));
	id[6] = (unsigned char) ((id[6] & 0x0F) | 0x40);
	id[8] = (unsigned char) ((id[8] & 0x3F) | 0x80);
	gmtime_r(&wall, &utc);
	strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", &utc);
	BufferAppendText(body, "{\"id\": \"");
	for (int i = 0; i < 16; i++)
		BufferPrint(body, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
	BufferPrint(body,
				"\", \"namespace\": %s, \"tenant\": %s, \"provider\": %s, \"action_type\": %s, "
				"\"payload\": %s, \"metadata\": {}, \"created_at\": \"%s\"}",
				trial->name_space.data, trial->tenant.data, trial->provider.data,
				trial->action_type.data, payload, now);
}

/*
 * The words of an error, or the beginning of what came instead.
 */
static void
append_words(Buffer *text, const Buffer *answer)
{
	Buffer words = {0};

	if (JsonGetString(BufferText(answer), answer->len, "error", &words))
		AppendCleanText(text, words.data, words.len, 300);
	else
		AppendCleanText(text, BufferText(answer), answer->len, 300);
	BufferFree(&words);
}

/*
 * Report what keeps a try from being answered as it should be.
 */
static void
report_refusal(const Settings *settings, long status, const Buffer *answer)
{
	Buffer why = {0};
	const char *what = "gateway";
	const char *hint = "is --gateway-url the gateway's?";

	BufferPrint(&why, "%s answers %ld: ", settings->gateway_url, status);
	append_words(&why, answer);
	if (status == 401)
	{
		what = "API key";
		hint = "check the key in --api-key-file";
	}
	else if (status == 403)
	{
		what = "API key";
		hint = "the gateway knows the key, but does not let it dispatch this: check its role and "
			   "grants, or name with --check-as what it is for";
	}
	else if (IsAboutSignature(status, BufferText(answer), answer->len))
	{
		what = "signing";
		hint =
			settings->signing_key_file == NULL
				? "the gateway accepts only signed actions ([signing] reject_unsigned): use "
				  "--signing-key-file"
				: "check the signer, the kid and the seed in the file of --signing-key-file, and "
				  "the gateway's keyring: its public key, tenants and namespaces";
	}
	else if (status == 400 || status == 422)
		hint = "the gateway does not accept the actions of this relay: do the versions match?";
	else if (status == 429 || status >= 500)
		hint = "the gateway cannot evaluate anything now: try again";
	ReportBad(what, BufferText(&why), hint);
	BufferFree(&why);
}

/*
 * Sign an action, if there are keys for that.  False, after saying so, if there is none
 * for this one.
 */
static bool
sign(const Signers *signers, Buffer *body)
{
	Buffer members = {0}, error = {0};
	bool good = true;

	if (signers != NULL)
		good = SignAction(signers, body->data, body->len, &members, &error) == SIGNED;
	if (!good)
		ReportBad("signing", BufferText(&error), "add a key to the file of --signing-key-file");
	else if (signers != NULL)
		SignatureAppend(body, &members);
	BufferFree(&members);
	BufferFree(&error);
	return good;
}

/*
 * The status with which an action is answered that is not signed, or whose signature is
 * none: 200, 400, or 0 if the answer is about something else.
 */
static long
try_signature(const Settings *settings, const Buffer *api_key, const Trial *trial, bool has_one)
{
	Buffer body = {0}, answer = {0};
	Buffer members = {0};
	long status;

	write_action(trial, "{}", &body);
	if (has_one)
	{
		BufferAppendText(&members, ", \"signature\": \"\", \"signer_id\": \"\"");
		SignatureAppend(&body, &members);
	}
	status = EasyTry(settings, api_key, DRY_RUN_PATH, body.data, &answer);
	if (status != 200 && !IsAboutSignature(status, BufferText(&answer), answer.len))
		status = 0;
	BufferFree(&members);
	BufferFree(&body);
	BufferFree(&answer);
	return status;
}

/*
 * Report what the gateway wants of signatures, after it has accepted an action of ours,
 * which was signed if there are keys.
 */
static void
report_signing(const Settings *settings, const Buffer *api_key, const Trial *trial,
			   const Signers *signers)
{
	Buffer body = {0}, answer = {0};
	long unsigned_status, signed_badly, status;

	if (signers == NULL)
	{
		ReportGood("signing: not required");
		return;
	}
	signed_badly = try_signature(settings, api_key, trial, true);
	unsigned_status = try_signature(settings, api_key, trial, false);
	if (signed_badly == 0 || unsigned_status == 0)
	{
		ReportBad("signing", "whether the gateway requires signatures could not be found out",
				  "the gateway cannot evaluate anything now: try again");
		return;
	}
	if (signed_badly == 200)
	{
		ReportGood("signing: not required, and the gateway does not verify signatures");
		return;
	}
	ReportGood("signing: %s, and the gateway accepts the signatures of this relay",
			   unsigned_status == 400 ? "required" : "not required");
	/* Another version of the gateway may sign other bytes for these. */
	write_action(trial, "{\"numbers\": " ODD_NUMBERS "}", &body);
	if (sign(signers, &body))
	{
		status = EasyTry(settings, api_key, DRY_RUN_PATH, body.data, &answer);
		if (IsAboutSignature(status, BufferText(&answer), answer.len))
			ReportBad("signing",
					  "the gateway refuses the signature of a payload with very large, very small "
					  "or very precise numbers: it reads or prints them in another way",
					  "actions with such numbers will be refused; do the versions match?");
	}
	BufferFree(&body);
	BufferFree(&answer);
}

/*
 * Report whether the gateway accepts an action a second time.
 */
static void
report_protection(const Settings *settings, const Buffer *api_key, const Buffer *body)
{
	Buffer answer = {0};
	long status = EasyTry(settings, api_key, DRY_RUN_PATH, body->data, &answer);

	if (status == 409)
		ReportGood("replay protection: on, the gateway accepts each id only once");
	else if (status == 200)
		ReportGood(
			"replay protection: off ([signing] reject_replay), so the gateway does not detect "
			"what is sent twice");
	else
		report_refusal(settings, status, &answer);
	BufferFree(&answer);
}

/*
 * Try a dispatch, and the same once more.
 */
static void
try_dispatch(const Settings *settings, const Buffer *api_key, const Trial *trial,
			 const Signers *signers)
{
	Buffer body = {0}, answer = {0}, tag = {0};
	long status = -1;

	write_action(trial, "{}", &body);
	if (sign(signers, &body))
		status = EasyTry(settings, api_key, DRY_RUN_PATH, body.data, &answer);
	if (status == 200 &&
		(!JsonReadTag(answer.data, answer.len, &tag) || strcmp(BufferText(&tag), "DryRun") != 0))
		ReportBad("gateway", "it answers a dry run with something else",
				  "is --gateway-url the gateway's? What was sent has an empty payload");
	else if (status == 0)
		ReportBad("gateway", BufferText(&answer),
				  "check --gateway-url, and for TLS --ca-file and --client-cert");
	else if (status > 0 && status != 200)
		report_refusal(settings, status, &answer);
	else if (status == 200)
	{
		ReportGood("gateway: %s evaluates dispatches", settings->gateway_url);
		ReportGood("API key: works for tenant %s, namespace %s, provider %s, action type %s",
				   trial->tenant.data, trial->name_space.data, trial->provider.data,
				   trial->action_type.data);
		report_signing(settings, api_key, trial, signers);
		report_protection(settings, api_key, &body);
	}
	BufferFree(&body);
	BufferFree(&answer);
	BufferFree(&tag);
}

/*
 * Nothing is known that the key could be tried with: see whether somebody is there,
 * and whether the key may read, which not every gateway offers.
 */
static void
try_without(const Settings *settings, const Buffer *api_key)
{
	Buffer answer = {0};
	long status = EasyTry(settings, api_key, HEALTH_PATH, NULL, &answer);

	if (status == 0)
	{
		ReportBad("gateway", BufferText(&answer),
				  "check --gateway-url, and for TLS --ca-file and --client-cert");
		BufferFree(&answer);
		return;
	}
	if (status != 401 && status != 403)
		status = EasyTry(settings, api_key, LIST_PATH, NULL, &answer);
	if (status == 401)
		report_refusal(settings, status, &answer);
	else
	{
		ReportGood("gateway: %s answers", settings->gateway_url);
		ReportGood(
			"API key: %s, but it was not tested with a dispatch, nor were signing and replay "
			"protection: no recent batch names a tenant, namespace, provider and action type; "
			"name them with --check-as",
			status == 200 ? "the gateway knows it" : "not known to be wrong");
	}
	BufferFree(&answer);
}

/*
 * Check the gateway and our keys for it; there may be none that sign.
 */
void
CheckGateway(const Settings *settings, const Buffer *api_key, const Trial *trial,
			 const Signers *signers)
{
	if (trial->known)
		try_dispatch(settings, api_key, trial, signers);
	else
		try_without(settings, api_key);
}
