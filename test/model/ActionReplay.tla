--------------------------- MODULE ActionReplay ---------------------------
(***************************************************************************)
(* What becomes of one lost action that is replayed: from its row in the   *)
(* outbox through a relay and the gateway to its audit record and its      *)
(* delivery, whatever fails on the way.                                    *)
(*                                                                         *)
(* The names are those of the code.  A row is an action of the outbox with *)
(* the segment that covers it, or the delivery that it has ended with:     *)
(* src/queue/segment.h and src/queue/delivery.h.  An id is what the gateway*)
(* gets: of a generation and a resend (src/base/replay_id.c).  An item is  *)
(* an action that a relay was handed out, with its request.                *)
(*                                                                         *)
(* Each step that changes db is one transaction, so a crash of the server  *)
(* is no step of its own.  Time is left out: a lease can end, and patience *)
(* can be over, at any moment, as far as what is assumed about the gateway *)
(* permits (LookUpResends).  Whatever goes wrong uses up trouble, so that  *)
(* the model is finite, and progress can be shown.                         *)
(*                                                                         *)
(* Without names mechanisms that are taken out: the negative checks show   *)
(* which invariant falls without each (NEGATIVE in run.py).                *)
(***************************************************************************)
EXTENDS Integers, FiniteSets, TLC

CONSTANTS
    Rows,         \* how many rows of the outbox replays of the action can have
    MaxResend,    \* new ids that a row can get
    MaxAttempts,  \* acteon_replay.max_attempts
    MaxItems,     \* items at once
    MaxTrouble,   \* what can go wrong; NoBound: anything
    Troubles,     \* kinds of what can go wrong
    Protection,   \* the gateway's reject_replay: an id is burnt when it is seen
    Compliance,   \* the gateway writes an intent before it executes
    OnDoubt,      \* on_doubt of the batches: "resend" or "hold"
    Without       \* mechanisms that are taken out

NoBound == 1000

VARIABLES
    db,         \* the database: a function from the numbers of rows to rows
    standby,    \* older states of it and of stop, which a promotion goes back to
    made,       \* how many rows were ever made: an id of the outbox is never used again
    stop,       \* of the batch of each row: BATCH_RUNS, _PAUSED or _CANCELLED
    found,      \* for each generation: calls that have found it free, and not written yet
    items,      \* what relays have
    burnt,      \* ids that the gateway has seen
    audit,      \* for each id: its records
    effects,    \* for each id: how often it took effect, with a record and without one
    trouble,    \* how much has gone wrong
    failed_over,\* whether a promotion has lost commits
    forgotten,  \* ids that were sent and that a promotion has made the database forget
    torn        \* rows of which an answer has removed the segment and not written the delivery yet

vars == <<db, standby, made, stop, found, items, burnt, audit, effects, trouble, failed_over, forgotten, torn>>

Numbers == 1..Rows
Ids == [gen: Numbers, resend: 0..MaxResend]
Has(mechanism) == mechanism \notin Without

-----------------------------------------------------------------------------
(* Rows *)

NoEnd == [state |-> "none", effect |-> "none", by |-> "none"]

\* at: absent; waiting, leased, doubt (its segment); ended (its delivery).
Absent == [at |-> "absent", gen |-> 0, attempt |-> 0, resend |-> 0, token |-> 0, over |-> FALSE,
           refused |-> FALSE, unproven |-> FALSE, held |-> FALSE, end |-> NoEnd]

NewRow(gen) == [Absent EXCEPT !.at = "waiting", !.gen = gen]

IsThere(n) == db[n].at # "absent"
IsUnfinished(n) == db[n].at \in {"waiting", "leased", "doubt"}
IdOf(row) == [gen |-> row.gen, resend |-> row.resend]
IdsOf(row) == {[gen |-> row.gen, resend |-> r] : r \in 0..row.resend}

\* SegmentIsLeased.
IsLeased(row) == row.at = "leased" /\ ~row.over

\* MakeDoubt: it is no longer leased, and nothing is known of what the gateway may answer to its id.
MakeDoubt(row) == [row EXCEPT !.at = "doubt", !.token = 0, !.over = FALSE, !.refused = FALSE, !.held = FALSE]

\* RenewId: it goes out under a new id.
RenewId(row) ==
    [row EXCEPT !.at = "waiting", !.token = 0, !.over = FALSE, !.refused = FALSE, !.held = FALSE,
                !.resend = IF Has("new id") THEN row.resend + 1 ELSE row.resend]

\* AddDelivery: it has ended, under an id, which is all that is kept besides how.
Ended(row, resend, state, effect, by) ==
    [Absent EXCEPT !.at = "ended", !.gen = row.gen, !.resend = resend, !.unproven = row.unproven,
                   !.end = [state |-> state, effect |-> effect, by |-> by]]

Min(a, b) == IF a < b THEN a ELSE b
Max(a, b) == IF a > b THEN a ELSE b

-----------------------------------------------------------------------------
(* The audit table: for each id a set of its records.  "done", "failed" and
   "deferred" are outcomes; with a ? they are still to be written.  "pruned" is
   an outcome that is not kept any more, "intent" what compliance mode writes
   before it executes. *)

Outcomes == {"done", "failed", "deferred"}
Later == [done |-> "done?", failed |-> "failed?"]
Pending == {"done?", "failed?"}

Outcome(id) == audit[id] \cap Outcomes
HasIntent(row) == \E id \in IdsOf(row) : "intent" \in audit[id] /\ Outcome(id) = {}
IdsDone(row) == {id \in IdsOf(row) : "done" \in audit[id]}
IdsKnown(row) == {id \in IdsOf(row) : Outcome(id) # {}}

\* The id whose record decides (audit_lookup.h): one that was done, else the newest with an outcome.
Decides(row) ==
    LET ids == IF IdsDone(row) # {} THEN IdsDone(row) ELSE IdsKnown(row)
    IN CHOOSE id \in ids : \A other \in ids : other.resend <= id.resend

\* effect_of in delivery.c: where an earlier id was given up without proof, that the last one had no
\* effect does not say that the action had none.
EffectOf(row, effect) == IF effect = "none" /\ row.unproven /\ Has("effect of unproven") THEN "unknown" ELSE effect

EffectFound(row) == IF "done" \in audit[Decides(row)] THEN "done" ELSE EffectOf(row, "none")

\* What decide_with_outcome makes of it: it "ends", it "defers", or it says "nothing".
Says(row) ==
    IF IdsKnown(row) = {} THEN "nothing"
    ELSE LET id == Decides(row)
         IN IF "done" \in audit[id] THEN "ends"
            ELSE IF id.resend < row.resend THEN "nothing"
            ELSE IF "failed" \in audit[id] THEN "ends"
            ELSE "defers"

-----------------------------------------------------------------------------
(* Trouble *)

\* A step that is part of what goes wrong; the kinds that a configuration leaves out do not happen.
Goes(wrong) ==
    /\ wrong \in Troubles
    /\ IF MaxTrouble = NoBound THEN UNCHANGED trouble
       ELSE trouble < MaxTrouble /\ trouble' = trouble + 1

\* Nothing but the database, and nothing but items.
OnlyDb == UNCHANGED <<standby, made, stop, found, burnt, audit, effects, failed_over, forgotten, torn>>
OnlyItems == UNCHANGED <<db, standby, made, stop, found, failed_over, forgotten, torn>>

-----------------------------------------------------------------------------
(* Replaying: src/replay/earlier_replays.c *)

\* JudgeEarlier: whether a replay prevents another one.
InTheWay(row) ==
    \/ row.at \in {"waiting", "leased", "doubt"}
    \/ row.at = "ended" /\ row.end.state = "delivered" /\ row.end.effect # "none"

Taken == {db[n].gen : n \in {m \in Numbers : IsThere(m)}}
Free(gen) == gen \notin Taken /\ \A other \in 1..(gen - 1) : other \in Taken

RECURSIVE CallsUpTo(_)
CallsUpTo(gen) == IF gen = 0 THEN 0 ELSE found[gen] + CallsUpTo(gen - 1)
Calls == CallsUpTo(Rows)

\* A bulk replay finds that no earlier replay is in the way, and which generation is free.
FindsFree(gen) ==
    /\ made + Calls < Rows /\ Calls < 2
    /\ Free(gen)
    /\ \A n \in Numbers : ~InTheWay(db[n])
    /\ found' = [found EXCEPT ![gen] = @ + 1]
    /\ UNCHANGED <<db, standby, made, stop, items, burnt, audit, effects, trouble, failed_over, forgotten, torn>>

\* It writes the row, unless another call was faster: then it looks again (ResolveAgain).
Enqueue(gen) ==
    /\ found[gen] > 0
    /\ found' = [found EXCEPT ![gen] = @ - 1]
    /\ IF Has("unique ids") /\ gen \in Taken
       THEN UNCHANGED <<db, made>>
       ELSE /\ made < Rows
            /\ made' = made + 1
            /\ db' = [db EXCEPT ![made + 1] = NewRow(gen)]
    /\ UNCHANGED <<standby, stop, items, burnt, audit, effects, trouble, failed_over, forgotten, torn>>

-----------------------------------------------------------------------------
(* Claiming: src/consumer/claim.c *)

\* Tokens are drawn at random: any that is not in use will do.
TokensInUse == {db[n].token : n \in Numbers} \cup {standby.db[n].token : n \in Numbers} \cup {i.token : i \in items}
FreshToken == CHOOSE t \in 1..(2 * Rows + MaxItems + 1) :
                  t \notin TokensInUse /\ \A u \in 1..(t - 1) : u \in TokensInUse

\* A waiting row goes out.  One of which an earlier id was given up without proof is looked up
\* right before (NeedsLook, in the same transaction): nothing must have turned up.
Claim(n) ==
    /\ db[n].at = "waiting"
    /\ stop[n] = "BATCH_RUNS"
    /\ Cardinality(items) < MaxItems
    /\ db[n].unproven /\ Has("look before resend") => Says(db[n]) = "nothing"
    /\ db' = [db EXCEPT ![n].at = "leased", ![n].attempt = @ + 1, ![n].token = FreshToken]
    /\ items' = items \cup {[row |-> n, id |-> IdOf(db[n]), token |-> FreshToken, live |-> TRUE,
                             relay |-> "has", gate |-> "none", answer |-> "none"]}
    /\ UNCHANGED trouble /\ OnlyDb

\* The time of a lease is over, for the database and for the relay that had it.  An item that was
\* not sent yet is given up by the relay then.  While a relay has it, its heartbeat has failed.
IsExtended(t) == \E i \in items : i.token = t /\ i.live /\ i.relay # "gone"

LeaseEnds(t) ==
    /\ IF IsExtended(t) THEN Goes("lease ends") ELSE UNCHANGED trouble
    /\ \/ \E n \in Numbers : db[n].token = t /\ ~db[n].over
       \/ \E i \in items : i.token = t /\ i.live
    /\ db' = [n \in Numbers |-> IF db[n].token = t THEN [db[n] EXCEPT !.over = TRUE] ELSE db[n]]
    /\ standby' = [standby EXCEPT !.db = [n \in Numbers |-> IF @[n].token = t THEN [@[n] EXCEPT !.over = TRUE] ELSE @[n]]]
    /\ items' = {IF i.token = t THEN [i EXCEPT !.live = FALSE] ELSE i :
                     i \in {j \in items : ~(j.token = t /\ j.relay = "has" /\ Has("relay's leases"))}}
    /\ UNCHANGED <<made, stop, found, burnt, audit, effects, failed_over, forgotten, torn>>

\* The lease of a relay that has died.
Abandoned == \E t \in TokensInUse \ {0} : Has("lease end") /\ ~IsExtended(t) /\ LeaseEnds(t)

-----------------------------------------------------------------------------
(* Looking up: src/consumer/resolve_doubt.c *)

\* What a claim collects: doubts, and leases that have run out.
IsDoubt(row) == row.at = "doubt" \/ (row.at = "leased" /\ row.over)

\* begin_doubt.
AsDoubt(row) == IF row.at = "doubt" THEN row ELSE MakeDoubt(row)

\* A record ends it.
LookUpEnds(n) ==
    /\ IsDoubt(db[n]) \/ (db[n].at = "waiting" /\ db[n].unproven)
    /\ Says(db[n]) = "ends"
    /\ db' = [db EXCEPT ![n] = Ended(db[n], Decides(db[n]).resend, "delivered", EffectFound(db[n]), "record")]
    /\ UNCHANGED <<items, trouble>> /\ OnlyDb

\* The gateway has put it off: it goes out again, under a new id.
LookUpDefers(n) ==
    /\ IsDoubt(db[n])
    /\ Says(db[n]) = "defers"
    /\ db[n].resend < MaxResend
    /\ db' = [db EXCEPT ![n] = RenewId(db[n])]
    /\ UNCHANGED <<items, trouble>> /\ OnlyDb

\* Its id was seen, and what was sent under it is known not to have been executed: 409 is the
\* answer to our own attempts.
LookUpRenews(n) ==
    /\ db[n].at = "doubt" /\ db[n].refused
    /\ Has("look-up") => Says(db[n]) = "nothing"
    /\ Has("intent held") => ~HasIntent(db[n])
    /\ db[n].resend < MaxResend
    /\ db' = [db EXCEPT ![n] = RenewId(db[n])]
    /\ UNCHANGED <<items, trouble>> /\ OnlyDb

\* The assumption about acteon_replay.gateway_patience: when it is over, no request under one of
\* its ids can be executed any more; each was executed, refused or dropped.
PatienceIsOver(row) ==
    \A i \in items : i.id \in IdsOf(row) => i.gate = "over" \/ (i.gate = "none" /\ ~i.live)

\* WhatAuditTells: a record of something that was sent later shows that what is missing is not
\* still to be written; and records of that time are still kept.
AuditIsAlive(row) == \A id \in IdsOf(row) : audit[id] \cap Pending = {}
AuditIsKept(row) == \A id \in IdsOf(row) : "pruned" \notin audit[id]

\* There is no record: it goes out once more, under a new id, marked.
LookUpResends(n) ==
    /\ IsDoubt(db[n])
    /\ Has("look-up") => Says(db[n]) = "nothing"
    /\ Has("patience") => PatienceIsOver(db[n])
    /\ Has("alive") => AuditIsAlive(db[n])
    /\ Has("kept") => AuditIsKept(db[n])
    /\ Has("intent held") => ~HasIntent(db[n])
    /\ OnDoubt = "resend" \/ ~Has("on_doubt")
    /\ Has("second doubt held") => ~db[n].unproven
    /\ db[n].attempt < MaxAttempts
    /\ stop[n] = "BATCH_RUNS"
    /\ db[n].resend < MaxResend
    /\ db' = [db EXCEPT ![n] = [RenewId(db[n]) EXCEPT !.unproven = Has("mark")]]
    /\ UNCHANGED <<items, trouble>> /\ OnlyDb

\* It waits for a person, or for a record.  That is always safe, so no reason is asked for
\* (why_held; on another server the audit table may tell nothing).
LookUpHolds(n) ==
    /\ IsDoubt(db[n]) /\ ~db[n].held
    /\ Says(db[n]) = "nothing"
    /\ PatienceIsOver(db[n])
    /\ db' = [db EXCEPT ![n] = [AsDoubt(db[n]) EXCEPT !.held = TRUE]]
    /\ UNCHANGED <<items, trouble>> /\ OnlyDb

\* It has become a doubt with its lease, and is looked up again later.
LookUpWaits(n) ==
    /\ db[n].at = "leased" /\ db[n].over
    /\ Says(db[n]) = "nothing"
    /\ db' = [db EXCEPT ![n] = MakeDoubt(db[n])]
    /\ UNCHANGED <<items, trouble>> /\ OnlyDb

LookUp(n) == LookUpEnds(n) \/ LookUpDefers(n) \/ LookUpRenews(n) \/ LookUpResends(n) \/ LookUpHolds(n) \/ LookUpWaits(n)

-----------------------------------------------------------------------------
(* Answers: src/consumer/answer.c *)

\* answered_id: whether an answer counts.  Under a lease that lasts, its token proves what it is
\* about; when the lease is lost only an outcome counts, and only by the id that was sent.
TokenProves(i) == IF Has("lease token") THEN db[i.row].token = i.token /\ IsLeased(db[i.row]) ELSE IsUnfinished(i.row)

CountsLate(i) ==
    /\ ~TokenProves(i)
    /\ IsUnfinished(i.row)
    /\ i.id \in IdsOf(db[i.row])
    \* About an id that was given up, only that it was executed.
    /\ i.id.resend < db[i.row].resend => i.answer = "done"
    \* Who holds it now will be told the same.
    /\ i.answer = "deferred" => ~IsLeased(db[i.row])

\* The relay has told it, or could not: then the item is gone, as far as the relay is concerned.
Told(i) == IF i.gate \in {"queued", "executing"} THEN (items \ {i}) \cup {[i EXCEPT !.relay = "gone"]} ELSE items \ {i}

\* add_dead: an action that may have had an effect never becomes dead.
Dead(row) ==
    IF row.unproven /\ Has("never dead in doubt")
    THEN [MakeDoubt(row) EXCEPT !.held = TRUE]
    ELSE Ended(row, row.resend, "dead", "none", "answer")

\* A final outcome.  The segment is replaced and the delivery written in one transaction.
AckFinal(i) ==
    /\ i.answer \in {"done", "failed"}
    /\ TokenProves(i) \/ CountsLate(i)
    /\ LET row == db[i.row]
           end == Ended(row, i.id.resend, "delivered", IF i.answer = "done" THEN "done" ELSE EffectOf(row, "none"), "answer")
       IN IF Has("one transaction")
          THEN db' = [db EXCEPT ![i.row] = end] /\ UNCHANGED torn
          ELSE db' = [db EXCEPT ![i.row] = [Absent EXCEPT !.at = "removed", !.gen = row.gen]] /\ torn' = torn \cup {<<i.row, end>>}
    /\ items' = Told(i)
    /\ UNCHANGED <<standby, made, stop, found, burnt, audit, effects, trouble, failed_over, forgotten>>

\* Throttled: the gateway has recorded it under this id, and will not take the id again.
AckDeferred(i) ==
    /\ i.answer = "deferred"
    /\ TokenProves(i) \/ CountsLate(i)
    /\ db[i.row].resend < MaxResend
    /\ db' = [db EXCEPT ![i.row] = [RenewId(@) EXCEPT !.attempt = Max(@ - 1, 0)]]
    /\ items' = Told(i)
    /\ UNCHANGED trouble /\ OnlyDb

\* 409: it says that the id was seen, and not what became of it.
AckDuplicate(i) ==
    /\ i.answer = "seen"
    /\ TokenProves(i)
    /\ LET row == db[i.row]
           doubt == [MakeDoubt(row) EXCEPT !.refused = row.refused,
                                           !.attempt = IF row.refused THEN Max(row.attempt - 1, 0) ELSE row.attempt]
       IN db' = [db EXCEPT ![i.row] = IF Has("409 is doubt") THEN doubt ELSE Ended(row, row.resend, "delivered", "done", "answer")]
    /\ items' = Told(i)
    /\ UNCHANGED trouble /\ OnlyDb

\* 429, or 500 of the gateway itself, or a request that it cannot have read to its end: known not
\* executed.  The last attempt that counts ends it dead.
Nack(i) ==
    /\ i.answer \in {"refused", "failed before", "not read"}
    /\ TokenProves(i)
    /\ LET row == db[i.row]
           back == [row EXCEPT !.at = "waiting", !.token = 0, !.over = FALSE, !.refused = @ \/ i.answer # "not read"]
       IN db' = [db EXCEPT ![i.row] = IF i.answer = "refused" THEN [back EXCEPT !.attempt = row.attempt - 1]
                                      ELSE IF row.attempt < MaxAttempts THEN back
                                      ELSE Dead(row)]
    /\ items' = Told(i)
    /\ UNCHANGED trouble /\ OnlyDb

\* Given back unsent: the attempt is not counted, and no id was sent.
GiveBack(i) ==
    /\ Goes("given back")
    /\ i.relay = "has" /\ TokenProves(i)
    /\ db' = [db EXCEPT ![i.row] = [@ EXCEPT !.at = "waiting", !.token = 0, !.over = FALSE, !.attempt = @ - 1]]
    /\ items' = Told(i)
    /\ OnlyDb

\* The gateway will never take it.
Reject(i) ==
    /\ i.answer = "unacceptable"
    /\ TokenProves(i)
    /\ db' = [db EXCEPT ![i.row] = Dead(@)]
    /\ items' = Told(i)
    /\ UNCHANGED trouble /\ OnlyDb

\* There was no answer.
Doubt(i) ==
    /\ i.relay = "no answer"
    /\ TokenProves(i)
    /\ db' = [db EXCEPT ![i.row] = MakeDoubt(@)]
    /\ items' = Told(i)
    /\ UNCHANGED trouble /\ OnlyDb

\* What does not count changes nothing.
Ignored(i) ==
    /\ i.relay \in {"told", "no answer"}
    /\ ~TokenProves(i) /\ (i.relay = "told" /\ i.answer \in {"done", "failed", "deferred"} => ~CountsLate(i))
    /\ items' = Told(i)
    /\ UNCHANGED <<db, trouble>> /\ OnlyDb

Ack(i) == i.relay = "told" /\ (AckFinal(i) \/ AckDeferred(i) \/ AckDuplicate(i))
Answer(i) == Ack(i) \/ (i.relay = "told" /\ (Nack(i) \/ Reject(i))) \/ Doubt(i) \/ Ignored(i)

\* Only if the segment and the delivery were two transactions: the second one, or a crash between.
WriteDelivery(t) ==
    /\ torn' = torn \ {t}
    /\ \/ db' = [db EXCEPT ![t[1]] = t[2]] /\ UNCHANGED trouble
       \/ Goes("relay dies") /\ UNCHANGED db
    /\ UNCHANGED <<standby, made, stop, found, items, burnt, audit, effects, failed_over, forgotten>>

-----------------------------------------------------------------------------
(* People: pause, resume, cancel, settle, redrive *)

Steer(n) ==
    /\ Goes("steered")
    /\ IsThere(n) /\ stop[n] # "BATCH_CANCELLED"
    /\ stop' \in {[stop EXCEPT ![n] = s] : s \in {"BATCH_RUNS", "BATCH_PAUSED", "BATCH_CANCELLED"} \ {stop[n]}}
    /\ UNCHANGED <<db, standby, made, found, items, burnt, audit, effects, failed_over, forgotten, torn>>

\* SweepSegment: what may have been sent never becomes cancelled.
Sweep(n) ==
    /\ stop[n] = "BATCH_CANCELLED"
    /\ db[n].at = "waiting" \/ (~Has("never cancelled in doubt") /\ IsDoubt(db[n]))
    /\ db' = [db EXCEPT ![n] = IF db[n].unproven /\ Has("never cancelled in doubt") THEN [MakeDoubt(@) EXCEPT !.held = TRUE]
                               ELSE Ended(@, db[n].resend, "cancelled", "none", "none")]
    /\ UNCHANGED <<items, trouble>> /\ OnlyDb

\* A person ends a doubt, and is taken to know what became of it.
Effects(id) == effects[id].seen + effects[id].unseen
HadEffect(row) == \E id \in IdsOf(row) : Effects(id) > 0

Settle(n) ==
    /\ Goes("settled")
    /\ IsDoubt(db[n]) /\ PatienceIsOver(db[n])
    /\ db' = [db EXCEPT ![n] = IF HadEffect(db[n]) THEN [Ended(@, db[n].resend, "delivered", "done", "person") EXCEPT !.unproven = db[n].unproven]
                               ELSE [Ended(@, db[n].resend, "cancelled", "none", "person") EXCEPT !.unproven = FALSE]]
    /\ UNCHANGED items /\ OnlyDb

\* A dead action goes back into the queue, unless it has a later replay, or one is being made.  It
\* is looked up first.
Redrive(n) ==
    /\ Goes("redriven")
    /\ db[n].at = "ended" /\ db[n].end.state = "dead" /\ stop[n] # "BATCH_CANCELLED"
    /\ Has("later replay") => \A m \in Numbers : db[m].gen <= db[n].gen
    /\ Has("hold found") => \A gen \in Numbers : gen > db[n].gen => found[gen] = 0
    /\ db' = [db EXCEPT ![n] = [MakeDoubt(NewRow(db[n].gen)) EXCEPT !.refused = TRUE, !.resend = db[n].resend]]
    /\ UNCHANGED items /\ OnlyDb

-----------------------------------------------------------------------------
(* The relay and the gateway *)

\* The relay sends only what it still has a lease of.
Send(i) ==
    /\ i.relay = "has"
    /\ items' = (items \ {i}) \cup {[i EXCEPT !.relay = "waits", !.gate = "queued"]}
    /\ UNCHANGED <<burnt, audit, effects, trouble>> /\ OnlyItems

\* The relay learns an answer, if it is still there to learn it.
Answered(i, answer) ==
    IF i.relay = "waits" THEN (items \ {i}) \cup {[i EXCEPT !.relay = "told", !.gate = "over", !.answer = answer]}
    ELSE IF i.relay = "gone" THEN items \ {i}
    ELSE (items \ {i}) \cup {[i EXCEPT !.gate = "over"]}

Burn(id) == burnt' = IF Protection THEN burnt \cup {id} ELSE burnt

\* The gateway refuses it before it looks at its id.
GatewayRejects(i) ==
    /\ Goes("unacceptable")
    /\ i.gate = "queued"
    /\ items' = Answered(i, "unacceptable")
    /\ UNCHANGED <<burnt, audit, effects>> /\ OnlyItems

\* The connection breaks before it has read all.
GatewayMisses(i) ==
    /\ Goes("not read")
    /\ i.gate = "queued"
    /\ items' = Answered(i, "not read")
    /\ UNCHANGED <<burnt, audit, effects>> /\ OnlyItems

\* It has seen the id before.
GatewayHasSeen(i) ==
    /\ i.gate = "queued" /\ i.id \in burnt
    /\ items' = Answered(i, "seen")
    /\ UNCHANGED <<burnt, audit, effects, trouble>> /\ OnlyItems

Taking(i) == i.gate = "queued" /\ i.id \notin burnt /\ Burn(i.id)

\* 429, or 500 with its own body: the id is burnt, and nothing was executed.
GatewayRefuses(i) ==
    /\ Goes("refused")
    /\ Taking(i)
    /\ \E answer \in {"refused", "failed before"} : items' = Answered(i, answer)
    /\ UNCHANGED <<audit, effects>> /\ OnlyItems

\* 200 Throttled: recorded, and nothing was executed.
GatewayDefers(i) ==
    /\ Goes("deferred")
    /\ Taking(i)
    /\ items' = Answered(i, "deferred")
    /\ audit' = [audit EXCEPT ![i.id] = @ \cup {"deferred"}]
    /\ UNCHANGED effects /\ OnlyItems

\* It is given to the provider.
GatewayExecutes(i) ==
    /\ Taking(i)
    /\ items' = (items \ {i}) \cup {[i EXCEPT !.gate = "executing"]}
    /\ audit' = IF Compliance THEN [audit EXCEPT ![i.id] = @ \cup {"intent"}] ELSE audit
    /\ UNCHANGED <<effects, trouble>> /\ OnlyItems

Seen(id) == [effects EXCEPT ![id].seen = Min(@ + 1, 2)]
Unseen(id) == IF Compliance THEN Seen(id) ELSE [effects EXCEPT ![id].unseen = Min(@ + 1, 2)]

\* The provider has done it; the record is written a moment later.
Finishes(i) ==
    /\ i.gate = "executing"
    /\ items' = Answered(i, "done")
    /\ effects' = Seen(i.id)
    /\ audit' = [audit EXCEPT ![i.id] = @ \cup {Later.done}]
    /\ UNCHANGED <<burnt, trouble>> /\ OnlyItems

\* The same, and its record is lost.
FinishesUnrecorded(i) ==
    /\ Goes("record lost")
    /\ i.gate = "executing"
    /\ items' = Answered(i, "done")
    /\ effects' = Unseen(i.id)
    /\ UNCHANGED <<burnt, audit>> /\ OnlyItems

\* The provider has failed, without effect.
Fails(i) ==
    /\ Goes("provider fails")
    /\ i.gate = "executing"
    /\ items' = Answered(i, "failed")
    /\ audit' = [audit EXCEPT ![i.id] = @ \cup {Later.failed}]
    /\ UNCHANGED <<burnt, effects>> /\ OnlyItems

\* The client has gone, and the gateway drops what it has of it: what was executing may have had
\* its effect, and has no record.
Cut(i) ==
    /\ i.gate \in {"queued", "executing"} /\ i.relay \in {"no answer", "gone"}
    /\ items' = Answered(i, "none")
    /\ effects' \in IF i.gate = "executing" THEN {effects, Unseen(i.id)} ELSE {effects}
    /\ UNCHANGED <<burnt, audit, trouble>> /\ OnlyItems

\* There is no answer: a time-out, a reset, a proxy.
NoAnswer(i) ==
    /\ Goes("no answer")
    /\ i.relay \in {"waits", "told"}
    /\ items' = (items \ {i}) \cup {[i EXCEPT !.relay = "no answer", !.answer = "none"]}
    /\ UNCHANGED <<burnt, audit, effects>> /\ OnlyItems

\* The relay dies: its lease ends some time.
RelayDies(i) ==
    /\ Goes("relay dies")
    /\ i.relay # "gone"
    /\ items' = Told(i)
    /\ UNCHANGED <<burnt, audit, effects>> /\ OnlyItems

\* The gateway dies: as if all clients had gone, and it does not remember ids.
GatewayDies ==
    /\ Goes("gateway dies")
    /\ items # {}
    /\ burnt' = {}
    /\ items' = {IF i.relay = "waits" THEN [i EXCEPT !.relay = "no answer", !.gate = "over"] ELSE [i EXCEPT !.gate = IF @ = "none" THEN @ ELSE "over"] :
                     i \in {j \in items : j.relay # "gone"}}
    \* What was still to be written is lost.
    /\ LET kept == [id \in Ids |-> IF Later.done \in audit[id] /\ ~Compliance
                                    THEN [seen |-> effects[id].seen - 1, unseen |-> Min(effects[id].unseen + 1, 2)]
                                    ELSE effects[id]]
           Add(e) == IF Compliance THEN [e EXCEPT !.seen = Min(@ + 1, 2)] ELSE [e EXCEPT !.unseen = Min(@ + 1, 2)]
       IN effects' \in {[id \in Ids |-> IF id \in done THEN Add(kept[id]) ELSE kept[id]] :
                           done \in SUBSET {i.id : i \in {j \in items : j.gate = "executing"}}}
    /\ audit' = [id \in Ids |-> audit[id] \ Pending]
    /\ OnlyItems

\* A record is written, or is not kept any more.
Write(id) ==
    /\ audit[id] \cap Pending # {}
    /\ audit' = [audit EXCEPT ![id] = (@ \ Pending) \cup (IF Later.done \in @ THEN {"done"} ELSE {}) \cup (IF Later.failed \in @ THEN {"failed"} ELSE {})]
    /\ UNCHANGED <<items, burnt, effects, trouble>> /\ OnlyItems

Prune(id) ==
    /\ Goes("pruned")
    /\ Outcome(id) # {}
    /\ audit' = [audit EXCEPT ![id] = (@ \ (Outcomes \cup {"intent"})) \cup {"pruned"}]
    /\ UNCHANGED <<items, burnt, effects>> /\ OnlyItems

-----------------------------------------------------------------------------
(* Promotion of a standby that has lost the newest commits: src/batch/failover.c *)

Replicate ==
    /\ "failover" \in Troubles /\ ~failed_over
    /\ standby # [db |-> db, stop |-> stop]
    /\ standby' = [db |-> db, stop |-> stop]
    /\ UNCHANGED <<db, made, stop, found, items, burnt, audit, effects, trouble, failed_over, forgotten, torn>>

\* What the standby does not know of what was handed out.
Unknown == {id \in Ids : /\ Effects(id) > 0 \/ audit[id] # {} \/ \E i \in items : i.id = id
                         /\ \A n \in Numbers : ~(standby.db[n].at # "absent" /\ id \in IdsOf(standby.db[n]))}

\* NoticeServer: what waits may have been sent, and is looked up first.
Failover ==
    /\ Goes("failover")
    /\ ~failed_over
    /\ failed_over' = TRUE
    /\ db' = [n \in Numbers |-> IF standby.db[n].at = "waiting" /\ standby.stop[n] # "BATCH_CANCELLED" /\ Has("failover notice")
                               THEN MakeDoubt(standby.db[n]) ELSE standby.db[n]]
    /\ stop' = standby.stop
    /\ forgotten' = Unknown
    /\ found' = [gen \in Numbers |-> 0]
    /\ UNCHANGED <<standby, made, items, burnt, audit, effects, torn>>

-----------------------------------------------------------------------------

Init ==
    /\ db = [n \in Numbers |-> Absent]
    /\ stop = [n \in Numbers |-> "BATCH_RUNS"]
    /\ standby = [db |-> db, stop |-> stop]
    /\ made = 0
    /\ found = [gen \in Numbers |-> 0]
    /\ items = {}
    /\ burnt = {}
    /\ audit = [id \in Ids |-> {}]
    /\ effects = [id \in Ids |-> [seen |-> 0, unseen |-> 0]]
    /\ trouble = 0
    /\ failed_over = FALSE
    /\ forgotten = {}
    /\ torn = {}

\* What the database's side does; these are the steps that a trace shows.
Replaying == \E gen \in Numbers : Enqueue(gen)
Claiming == \E n \in Numbers : Claim(n) \/ LookUp(n) \/ Sweep(n)
Acking == \E i \in items : Ack(i)
Nacking == \E i \in items : (i.relay = "told" /\ Nack(i)) \/ GiveBack(i)
Rejecting == \E i \in items : i.relay = "told" /\ Reject(i)
Doubting == \E i \in items : Doubt(i)
Redriving == \E n \in Numbers : Redrive(n)
Settling == \E n \in Numbers : Settle(n)

\* What it does not show: other sides, and what changes nothing.
Hidden ==
    \/ \E gen \in Numbers : FindsFree(gen)
    \/ \E t \in TokensInUse \ {0} : Has("lease end") /\ LeaseEnds(t)
    \/ \E i \in items : Ignored(i) \/ Send(i) \/ GatewayRejects(i) \/ GatewayMisses(i) \/ GatewayHasSeen(i) \/ GatewayRefuses(i) \/ GatewayDefers(i)
                        \/ GatewayExecutes(i) \/ Finishes(i) \/ FinishesUnrecorded(i) \/ Fails(i) \/ Cut(i) \/ NoAnswer(i) \/ RelayDies(i)
    \/ \E id \in Ids : Write(id) \/ Prune(id)
    \/ \E n \in Numbers : Steer(n)
    \/ GatewayDies
    \/ Replicate
    \/ \E t \in torn : WriteDelivery(t)

Next == Replaying \/ Claiming \/ Acking \/ Nacking \/ Rejecting \/ Doubting \/ Redriving \/ Settling \/ Failover \/ Hidden

\* What is wanted goes on: relays, gateway and records; a lease ends if nobody ends it.
Progress ==
    /\ \A n \in Numbers : WF_vars(Claim(n)) /\ WF_vars(LookUp(n)) /\ WF_vars(Sweep(n))
    /\ WF_vars(\E i \in items : Send(i) \/ Answer(i))
    /\ WF_vars(\E i \in items : GatewayHasSeen(i) \/ GatewayExecutes(i) \/ Finishes(i) \/ Cut(i))
    /\ WF_vars(\E id \in Ids : Write(id))
    /\ WF_vars(Abandoned)
    /\ \A gen \in Numbers : WF_vars(Enqueue(gen))

Spec == Init /\ [][Next]_vars /\ Progress


-----------------------------------------------------------------------------
(* Invariants; doc/development.md says where the code keeps each of them. *)

RECURSIVE Sum(_, _)
Sum(of(_), ids) == IF ids = {} THEN 0 ELSE LET id == CHOOSE one \in ids : TRUE IN of(id) + Sum(of, ids \ {id})

IdsWithEffect == {id \in Ids : Effects(id) > 0}
SeenOf(id) == effects[id].seen
SeenEffects == Sum(SeenOf, IdsWithEffect)
AllEffects == Sum(Effects, IdsWithEffect)

\* A promotion has made the database forget that an id was sent, which had its effect.
Forgotten == \E id \in forgotten : Effects(id) > 0

IsMarked == \E n \in Numbers : db[n].unproven \/ db[n].end.by = "person"

\* None takes effect twice where the gateway or a record allows to know: of all effects only one has
\* a record or an intent, and that it was sent again without proof is marked, which only
\* on_doubt => 'resend' does, and only once.
NoneTwice ==
    AllEffects > 1 =>
        \/ Forgotten
        \/ /\ SeenEffects <= 1 /\ AllEffects <= 2 /\ IsMarked
           /\ (OnDoubt = "resend" \/ \E n \in Numbers : db[n].end.by = "person")

\* No id takes effect twice, but where the database has forgotten it and the gateway keeps no ids.
NoIdTwice == \A id \in Ids : Effects(id) <= 1 \/ id \in forgotten

\* What is called delivered and done was done.
DeliveredHasEffect ==
    \A n \in Numbers : (db[n].end.state = "delivered" /\ db[n].end.effect = "done") =>
        \E resend \in 0..MaxResend : Effects([gen |-> db[n].gen, resend |-> resend]) > 0

\* What is called dead, cancelled or without effect had none.
EndedHasNoEffect ==
    \A n \in Numbers : (db[n].end.state \in {"dead", "cancelled"} \/ (db[n].end.state = "delivered" /\ db[n].end.effect = "none")) =>
        (~HadEffect(db[n]) \/ Forgotten)

\* Each action that was committed is covered by a segment or has a delivery.
NoneLost ==
    \A n \in 1..made : /\ (db[n].at = "removed" => \E t \in torn : t[1] = n)
                        /\ (db[n].at = "absent" => failed_over)

\* Of the replays of an action, one waits at most, and each has a generation of its own.
NoneQueuedTwice == \A n, m \in Numbers : n # m /\ IsThere(n) /\ IsThere(m) =>
                       db[n].gen # db[m].gen /\ ~(IsUnfinished(n) /\ IsUnfinished(m))

\* Every action ends, or waits for a person.
IsSettled(n) ==
    \/ db[n].at \in {"absent", "ended"} \/ db[n].held
    \/ stop[n] = "BATCH_PAUSED" /\ db[n].at # "leased"

EventuallyEndsOrHeld == <>[](\A n \in Numbers : IsSettled(n))

=============================================================================
