---------------------------- MODULE OutboxLease ----------------------------
(***************************************************************************)
(* How rows of the outbox are leased, answered, stopped and purged: the    *)
(* segments that cover them, the lanes that keep their order, and the      *)
(* sessions that change both at once (src/queue/segment.c, src/consumer,   *)
(* src/batch/batch_stop.c).  What the gateway makes of an action, and what *)
(* the audit table says of it, is in ActionReplay.tla.                     *)
(*                                                                         *)
(* All rows are of one batch.  A claim has two steps, because another      *)
(* session can come between: it looks, by its snapshot, and it leases.     *)
(* So has an answer.  Without names mechanisms that are taken out.         *)
(***************************************************************************)
EXTENDS Integers, Sequences, FiniteSets

CONSTANTS
    Rows,         \* the outbox has rows 1 to Rows
    Lane,         \* those in the lane; the others are in none
    MaxHandedOut, \* actions that consumers have at once
    MaxTrouble,   \* what can go wrong
    Without       \* mechanisms that are taken out

Has(mechanism) == mechanism \notin Without
Ids == 1..Rows
Sessions == 1..2

VARIABLES
    segments,   \* the segments
    deliveries, \* for each row: how many deliveries it has
    purged,     \* rows that are purged
    ids_kept,   \* rows whose ids are in acteon_dispatch_action
    has_row,    \* rows that are in the outbox
    stop,       \* of the batch
    looks,      \* what each session has seen and is about to change
    handed_out, \* actions that consumers have: id, token, and whether it was executed
    executed,   \* ids in the order in which they took effect
    cancelled,  \* rows that counted as cancelled once, and so were free for another replay
    trouble

vars == <<segments, deliveries, purged, ids_kept, has_row, stop, looks, handed_out, executed, cancelled, trouble>>

Min(a, b) == IF a < b THEN a ELSE b
Idle == [kind |-> "idle"]
Goes == trouble < MaxTrouble /\ trouble' = trouble + 1

Segment(first, last, at, token) == [first |-> first, last |-> last, at |-> at, token |-> token, over |-> FALSE]
Covers(segment, id) == segment.first <= id /\ id <= segment.last
InLane(segment) == segment.first \in Lane
IsLeased(segment) == segment.at = "leased" /\ ~segment.over

Init ==
    \* A segment in a lane has one row.
    /\ segments = {Segment(id, id, "waiting", 0) : id \in Lane} \cup
                  {Segment(first, last, "waiting", 0) : <<first, last>> \in
                       {run \in Ids \X Ids : /\ run[1] <= run[2] /\ \A id \in run[1]..run[2] : id \notin Lane
                                             /\ run[1] - 1 \notin Ids \ Lane /\ run[2] + 1 \notin Ids \ Lane}}
    /\ deliveries = [id \in Ids |-> 0]
    /\ purged = {} /\ ids_kept = Ids /\ has_row = Ids
    /\ stop = "BATCH_RUNS"
    /\ looks = [session \in Sessions |-> Idle]
    /\ handed_out = {} /\ executed = <<>> /\ cancelled = {} /\ trouble = 0

\* ReplaceSegment: a segment becomes pieces, if it is still what was read.
Replaced(old, pieces) == (segments \ {old}) \cup pieces
IsAsRead(segment) == segment \in segments \/ ~Has("hold segment")

\* What is left of a segment around a run of its rows.
Rest(segment, first, last) ==
    (IF first > segment.first THEN {[segment EXCEPT !.last = first - 1]} ELSE {}) \cup
    (IF last < segment.last /\ Has("replace all") THEN {[segment EXCEPT !.first = last + 1]} ELSE {})

-----------------------------------------------------------------------------
(* Claims *)

\* LookAtLane: nothing of the lane is leased or in doubt, and nothing comes before.
LaneIsFree(segment) ==
    InLane(segment) /\ Has("lane look") =>
        \A other \in segments \ {segment} : InLane(other) =>
            /\ ~IsLeased(other)
            /\ Has("doubt holds lane") => other.at # "doubt"
            /\ other.first > segment.first \/ (other.at = "doubt" /\ ~Has("doubt holds lane"))

\* A session that has looked at the lane has it locked until it commits.
LaneIsLocked == \E session \in Sessions : looks[session].kind = "claim" /\ InLane(looks[session].segment)

Look(session, segment) ==
    /\ looks[session] = Idle
    /\ segment.at = "waiting" /\ stop = "BATCH_RUNS"
    /\ LaneIsFree(segment)
    /\ InLane(segment) => ~LaneIsLocked
    /\ Cardinality(handed_out) < MaxHandedOut
    /\ looks' = [looks EXCEPT ![session] = [kind |-> "claim", segment |-> segment]]
    /\ UNCHANGED <<segments, deliveries, purged, ids_kept, has_row, stop, handed_out, executed, cancelled, trouble>>

TokensInUse == {segment.token : segment \in segments} \cup {item.token : item \in handed_out}
FreshToken == CHOOSE t \in 1..(Rows + MaxHandedOut + 2) : t \notin TokensInUse /\ \A u \in 1..(t - 1) : u \in TokensInUse

\* take_segment: the segment is held, then leased, as much of it as is wanted.  If another
\* session was faster, nothing happens.
Lease(session) ==
    /\ looks[session].kind = "claim"
    /\ LET segment == looks[session].segment
       IN IF ~IsAsRead(segment)
          THEN UNCHANGED <<segments, handed_out>>
          ELSE \E last \in segment.first..segment.last :
                   /\ Cardinality(handed_out) + last - segment.first + 1 <= MaxHandedOut
                   /\ segments' = Replaced(segment, {Segment(segment.first, last, "leased", FreshToken)} \cup Rest(segment, segment.first, last))
                   /\ handed_out' = handed_out \cup {[id |-> id, token |-> FreshToken, executed |-> FALSE] : id \in segment.first..last}
    /\ looks' = [looks EXCEPT ![session] = Idle]
    /\ UNCHANGED <<deliveries, purged, ids_kept, has_row, stop, executed, cancelled, trouble>>

\* A claim that fails, or a session that is killed: its transaction is rolled back.
RollBack(session) ==
    /\ Goes
    /\ looks[session] # Idle
    /\ looks' = [looks EXCEPT ![session] = Idle]
    /\ UNCHANGED <<segments, deliveries, purged, ids_kept, has_row, stop, handed_out, executed, cancelled>>

\* The time of a lease is over; its heartbeat has failed, or nobody is left to answer.
LeaseEnds(segment) ==
    /\ IsLeased(segment) /\ Has("lease end")
    /\ IF \E item \in handed_out : item.token = segment.token THEN Goes ELSE UNCHANGED trouble
    /\ segments' = Replaced(segment, {[segment EXCEPT !.over = TRUE]})
    /\ UNCHANGED <<deliveries, purged, ids_kept, has_row, stop, looks, handed_out, executed, cancelled>>

\* A doubt is looked up and decided: it has ended, or it goes out again, or it stays one.  Nothing
\* is decided while the gateway may still execute it (ActionReplay.tla, PatienceIsOver).
LookUp(segment, id) ==
    /\ segment.at = "doubt" \/ (segment.at = "leased" /\ segment.over)
    /\ Covers(segment, id)
    /\ LET doubt == [segment EXCEPT !.at = "doubt", !.token = 0, !.over = FALSE]
           done == \E n \in 1..Len(executed) : executed[n] = id
           patient == \E item \in handed_out : item.id = id /\ ~item.executed
           piece == IF done \/ patient THEN {} ELSE {[doubt EXCEPT !.first = id, !.last = id, !.at = "waiting"]}
       IN IF patient
          THEN segment # doubt /\ segments' = Replaced(segment, {doubt}) /\ UNCHANGED deliveries
          ELSE /\ segments' = Replaced(segment, piece \cup Rest(doubt, id, id))
               /\ deliveries' = [deliveries EXCEPT ![id] = IF done THEN @ + 1 ELSE @]
    /\ UNCHANGED <<purged, ids_kept, has_row, stop, looks, handed_out, executed, cancelled, trouble>>

-----------------------------------------------------------------------------
(* Answers *)

\* The gateway executes what a consumer was handed out, until the consumer has its answer, or is
\* sure that there was none; order matters in the lane only.
Execute(item) ==
    /\ \A session \in Sessions : looks[session].kind = "answer" => looks[session].item # item
    /\ ~item.executed /\ \A n \in 1..Len(executed) : executed[n] # item.id
    /\ handed_out' = (handed_out \ {item}) \cup {[item EXCEPT !.executed = TRUE]}
    /\ executed' = Append(executed, item.id)
    /\ UNCHANGED <<segments, deliveries, purged, ids_kept, has_row, stop, looks, cancelled, trouble>>

\* apply_to_segment reads the segment that covers the action, ...
BeginAnswer(session, item) ==
    /\ looks[session] = Idle
    /\ IF item.executed THEN UNCHANGED trouble ELSE Goes
    /\ \E segment \in segments :
           /\ Covers(segment, item.id)
           /\ looks' = [looks EXCEPT ![session] = [kind |-> "answer", item |-> item, segment |-> segment]]
    /\ UNCHANGED <<segments, deliveries, purged, ids_kept, has_row, stop, handed_out, executed, cancelled>>

\* ... and replaces it, unless it has changed meanwhile: then it begins again.  What was executed
\* ends it, also after the lease; otherwise only who has the lease can give it back, or say that
\* there was no answer.
EndAnswer(session) ==
    /\ looks[session].kind = "answer"
    /\ LET segment == looks[session].segment
           item == looks[session].item
           id == item.id
           counts == IsLeased(segment) /\ segment.token = item.token
           piece == [segment EXCEPT !.first = id, !.last = id, !.token = 0, !.over = FALSE]
       IN IF segment \notin segments /\ Has("answer as read")
          THEN UNCHANGED <<segments, deliveries, handed_out>>
          ELSE IF item.executed
          THEN /\ segments' = Replaced(segment, Rest(segment, id, id))
               /\ deliveries' = [deliveries EXCEPT ![id] = @ + 1]
               /\ handed_out' = handed_out \ {item}
          ELSE /\ IF counts
                  THEN \E at \in {"waiting", "doubt"} : segments' = Replaced(segment, {[piece EXCEPT !.at = at]} \cup Rest(segment, id, id))
                  ELSE UNCHANGED segments
               /\ handed_out' = handed_out \ {item}
               /\ UNCHANGED deliveries
    /\ looks' = [looks EXCEPT ![session] = Idle]
    /\ UNCHANGED <<purged, ids_kept, has_row, stop, executed, cancelled, trouble>>

\* An answer that does not count, or a consumer that dies.
Forget(item) ==
    /\ \/ Goes
       \/ UNCHANGED trouble /\ ~\E segment \in segments : Covers(segment, item.id) /\ (item.executed \/ segment.token = item.token)
    /\ handed_out' = handed_out \ {item}
    /\ UNCHANGED <<segments, deliveries, purged, ids_kept, has_row, stop, looks, executed, cancelled>>

-----------------------------------------------------------------------------
(* Steering, and purging *)

Steer ==
    /\ Goes
    /\ stop' \in {"BATCH_RUNS", "BATCH_PAUSED"} \ {stop}
    /\ stop # "BATCH_CANCELLED"
    /\ UNCHANGED <<segments, deliveries, purged, ids_kept, has_row, looks, handed_out, executed, cancelled>>

\* Cancelling frees what waits for another replay.  It waits for claims that have looked at the batch.
Cancel ==
    /\ Goes
    /\ stop # "BATCH_CANCELLED"
    /\ Has("batch lock") => \A session \in Sessions : looks[session].kind # "claim"
    /\ stop' = "BATCH_CANCELLED"
    /\ cancelled' = {id \in Ids : \E segment \in segments : Covers(segment, id) /\ segment.at = "waiting"}
    /\ UNCHANGED <<segments, deliveries, purged, ids_kept, has_row, looks, handed_out, executed>>

\* SweepSegment.
Sweep(segment) ==
    /\ stop = "BATCH_CANCELLED" /\ segment.at = "waiting"
    /\ segments' = segments \ {segment}
    /\ deliveries' = [id \in Ids |-> IF Covers(segment, id) THEN deliveries[id] + 1 ELSE deliveries[id]]
    /\ UNCHANGED <<purged, ids_kept, has_row, stop, looks, handed_out, executed, cancelled, trouble>>

\* A purge removes what has ended; the ids stay, so that no other replay is given them.
Purge(id) ==
    /\ Goes
    /\ id \in has_row
    /\ Has("purge finished") => deliveries[id] > 0
    /\ has_row' = has_row \ {id}
    /\ deliveries' = [deliveries EXCEPT ![id] = 0]
    /\ purged' = purged \cup {id}
    /\ ids_kept' = IF Has("ids kept") THEN ids_kept ELSE ids_kept \ {id}
    /\ UNCHANGED <<segments, stop, looks, handed_out, executed, cancelled>>

-----------------------------------------------------------------------------

Next ==
    \/ \E session \in Sessions : \/ \E segment \in segments : Look(session, segment)
                                 \/ Lease(session) \/ RollBack(session)
                                 \/ \E item \in handed_out : BeginAnswer(session, item)
                                 \/ EndAnswer(session)
    \/ \E segment \in segments : LeaseEnds(segment) \/ Sweep(segment) \/ \E id \in Ids : LookUp(segment, id)
    \/ \E item \in handed_out : Execute(item) \/ Forget(item)
    \/ Steer \/ Cancel
    \/ \E id \in Ids : Purge(id)

\* Sessions finish what they have begun; consumers execute and answer.
Progress ==
    /\ \A session \in Sessions : WF_vars(Lease(session)) /\ WF_vars(EndAnswer(session))
    /\ \A id \in Ids :
           /\ SF_vars(\E session \in Sessions, segment \in segments : segment.first = id /\ Look(session, segment))
           /\ SF_vars(\E session \in Sessions, item \in handed_out : item.id = id /\ item.executed /\ BeginAnswer(session, item))
           /\ WF_vars(\E item \in handed_out : item.id = id /\ Execute(item))
           /\ WF_vars(\E item \in handed_out : item.id = id /\ trouble' = trouble /\ Forget(item))
           /\ SF_vars(\E segment \in segments : LookUp(segment, id))
           /\ WF_vars(\E segment \in segments : Covers(segment, id) /\ trouble' = trouble /\ LeaseEnds(segment))
           /\ WF_vars(\E segment \in segments : Covers(segment, id) /\ Sweep(segment))

Spec == Init /\ [][Next]_vars /\ Progress

-----------------------------------------------------------------------------
(* Invariants; those that acteon_outbox_check has are named in doc/development.md. *)

Times(id) == Cardinality({segment \in segments : Covers(segment, id)})
Ended(id) == deliveries[id] > 0 \/ id \in purged

\* Each action is covered by a segment or has ended.
NoneLost == \A id \in Ids : Ended(id) \/ Times(id) > 0

CoveredOnce == \A id \in Ids : Times(id) <= 1

NoneEndedAndWaiting == \A id \in Ids : Ended(id) => Times(id) = 0

EndsOnce == \A id \in Ids : deliveries[id] <= 1

\* At most one lease is live in a lane.
LaneLeasedOnce == Cardinality({segment \in segments : InLane(segment) /\ IsLeased(segment)}) <= 1

\* Actions of a lane take effect in their order.
LaneInOrder == \A m, n \in 1..Len(executed) : m < n /\ executed[m] \in Lane /\ executed[n] \in Lane => executed[m] < executed[n]

\* What counted as cancelled, and could be replayed again, is not handed out any more.
NoneAfterCancel == \A item \in handed_out : item.id \notin cancelled

\* The id of each replay that was made is kept.
IdsKept == ids_kept = Ids

EventuallyEndsOrHeld == <>[](stop = "BATCH_PAUSED" \/ \A id \in Ids : Ended(id))

=============================================================================
