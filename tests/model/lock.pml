/*
 * The lock as a model: lock, confirm, reboot and release of a few machines over one store, for spin to try in every
 * order, with requests that are lost or come late, and with daemons and machines that die at any step.
 *
 * What it promises, for the number of machines, slots and faults that it is built with:
 *
 *   slots     machines between their grant and their return are never more than there are slots
 *   order     a grant goes to a place that is there, and nobody is ahead of it: by priority, then as they came
 *   proof     no reboot call without a committed confirm that names this machine, this boot and this hold
 *   window    no reboot call outside the window
 *   covered   a machine that goes down for a call of ours holds a slot
 *   ends      a hold ends by its owner under a new boot, by its owner while no call may still come, or by force
 *   left      a daemon that gave a request up gets no grant by it, as long as it lives
 *   hooked    no reboot call before the hooks have prepared the machine for it
 *   undone    no slot goes back while what was prepared for a reboot has not been taken back
 *   well      a slot that a machine went down with goes back only after a proof, under a later boot, that it is well
 *   live      where nothing can happen any more, who needed a reboot has booted and every slot is back
 *   settles   once faults stop it comes to that, if no process that could go on is kept waiting for ever (`-f`)
 *
 * Where it ends. tests/model.ts says with how many machines and faults each promise is tried; `settles` is tried with
 * fewer, for fairness multiplies the states. A machine needs one reboot; one that lost power comes up again, and may
 * need it still. What force was used on is excused until its next boot. A need that goes away does so before the
 * confirm: later, the slot stays until an administrator ends it, which `live` does not wait for. A window that closes
 * opens again. A machine that is not well after its boot keeps its slot, and gets well some time. A machine that is idle, or whose window is closed, looks again and again: here, where that finds
 * something, for else it changes nothing.
 * Document and queue are read in one step; a transaction checks both again, so an older look only means another try. Of
 * each machine one swap and one place can be late at a time. Priorities are two: that of machine HIGH, and that of all
 * others. Pauses, changes of max and slots taken by hand are not here: they are rules of one step, which tests hold to.
 *
 * That the code does what stands here is not proved: names and steps are those of lib/agent.ts, lib/waiter.ts and
 * lib/lock.ts, so that both can be read side by side.
 *
 * Each MUTANT_... takes one precaution away. Every one of them has to fail: by this the promises show that they can.
 */

#ifndef N
#define N 2        /* machines: 2 or 3 */
#endif
#ifndef MAX
#define MAX 1      /* slots */
#endif
#ifndef FAULTS
#define FAULTS 2   /* how much may go wrong in one run, of whatever kind; then it stops */
#endif
#ifndef HIGH
#define HIGH (N - 1) /* the machine of higher priority; N for none */
#endif

/* What the daemon of a machine does. Those of the second group have one request to the store under way. */
mtype:phase = {
  off,          /* the machine is down */
  recovering,   /* looks which slot this machine has */
  ready,        /* has no slot, as far as it knows; asks for one if a reboot is needed */
  holding,      /* has a slot */
  confirmed,
  called,       /* a reboot was called, or may have been */
  cancelling,

  returning,    /* gives the slot back, under a new boot */
  clearing,     /* the same, from the line: a grant to an earlier boot that came late */
  queueing,     /* takes a place in the queue */
  acquiring,    /* the grant */
  withdrawing,  /* gives up a grant whose reply was lost: ends it, or makes it impossible */
  confirming,
  releasing,    /* gives the slot back, unused */
  none
}

mtype = { slots, order, proof, window, covered, ends, left, hooked, undone, well, live }

/* Replayed with `spin -t`, a trail ends by naming the promise that was broken. */
#define PROMISE(name, condition) if :: (condition) :: else -> printf("broken: %e\n", name); assert(false) fi

/* --------------------------------------------------------------------------------------------------- the store */

/*
 * Revisions are not counted: they would never end. A swap is refused exactly when something was committed since its
 * sender read; so each commit marks the requests under way as stale, and drops those that are late, for a stale one
 * that arrives after its sender went on is refused and nobody hears of it.
 *
 * A mark is new when nothing in the store or on its way bears it, so a few are enough.
 */
typedef Hold { bool there; bool rebooting; byte boot; byte mark }
Hold hold[N];                /* the document */
byte line[N];                /* the queue: machines, first in line first; N where nobody is */
byte length;

/* What is still on its way when its sender waits no more. */
typedef Late { mtype:phase kind = none; byte boot; byte mark; bool direct; bool orphan /* its sender died */ }
Late late[N];                /* a swap */
bool latePlace[N];           /* a place in the queue */

/* ------------------------------------------------------------------------------------------------ the machines */

mtype:phase at[N] = ready;
bool need[N] = true;         /* a reboot is needed */
bool open[N] = true;         /* its window */
byte boot[N];                /* the boot id */
byte prepared[N];            /* on its disk: its hooks have run for a reboot; of this boot, or of an earlier one */
bool ill[N];                 /* a proof after the boot would fail */
bool pending[N];             /* a reboot was accepted and will come, whether or not its caller knows */

/* What the daemon remembers, until it dies. */
byte mark[N];                /* of the grant that it has or asks for; 0: none */
bool doubt[N];               /* a grant, or a confirm, of which nobody heard: it may have landed, or may land yet */
bool tried[N];               /* a reboot may have been called under this slot */
bool lease[N];               /* keeps its place in the queue alive */
bool direct[N];              /* the grant under way needs no place, for nobody is waiting */
bool stale[N];               /* the request under way will be refused */
#ifdef MUTANT_PREPARED_FORGOTTEN
bool knows[N];               /* that its machine is prepared */
#define TO_UNDO(i) (prepared[i] == THIS_BOOT && knows[i])
#else
/* A daemon that starts learns it from the disk. */
#define TO_UNDO(i) (prepared[i] == THIS_BOOT)
#endif

/* ------------------------------------------------------------------- what only the promises look at, and faults */

bool due[N];                 /* waits in line for a grant of its own */
bool proven[N];              /* the last hold of this boot was confirmed */
bool away[N];                /* is down for a call of ours */
bool owes[N];                /* went down with its slot, has it still, and was not found well since */
bool excused[N];             /* an administrator used force on it */
byte faults = FAULTS;

hidden byte k, count, where;

#define THIS_BOOT 1
#define EARLIER_BOOT 2

#define SWAPS(phase) (phase == returning || phase == clearing || phase == acquiring || \
  phase == withdrawing || phase == confirming || phase == releasing)
#define UNDER_WAY(i) (SWAPS(at[i]) || at[i] == queueing)
#define IN_LINE(i) (line[0] == i || line[1 % N] == i || line[2 % N] == i)
#define HELD_BY(i, m) (hold[i].there && hold[i].boot == boot[i] && hold[i].mark == m)
#define HELD(k) (hold[k].there -> 1 : 0)
#if N == 2
#define HELD_IN_ALL (HELD(0) + HELD(1))
#else
#define HELD_IN_ALL (HELD(0) + HELD(1) + HELD(2))
#endif
#define FULL (HELD_IN_ALL >= MAX)
#define ASKS(i) (need[i] && open[i] && !TO_UNDO(i))

/* Is it mine? With the mutant, who is not let in does not look whether it is inside. */
#ifdef MUTANT_FULL_BEFORE_MINE
#define MINE(i) (!FULL && hold[i].there && hold[i].boot == boot[i])
#else
#define MINE(i) (hold[i].there && hold[i].boot == boot[i])
#endif
#ifdef MUTANT_HOOKS_AFTER_THE_BOOT_FORGOTTEN
#define WELCOMED(i) true
#else
#define WELCOMED(i) (prepared[i] != EARLIER_BOOT)
#endif
#define OF_EARLIER_BOOT(i) (hold[i].there && hold[i].boot != boot[i])

/*
 * In the very transaction of a grant: with a place, it is there and nobody is ahead of it; without, nobody waits. A
 * guard that only asks who is ahead lets a place pass that expired.
 */
#if defined(MUTANT_ORDER_NOT_GUARDED)
#define NEXT(i, straight) true
#elif defined(MUTANT_PLACE_NOT_GUARDED)
#define NEXT(i, straight) ((straight && length == 0) || (!straight && (line[0] == i || !IN_LINE(i))))
#else
#define NEXT(i, straight) ((straight && length == 0) || (!straight && line[0] == i))
#endif

#ifdef MUTANT_BLIND_SWAP
#define REFUSED(i) (at[i] == acquiring && !NEXT(i, direct[i]))
#else
#define REFUSED(i) (stale[i] || (at[i] == acquiring && !NEXT(i, direct[i])))
#endif

/* The document has a new revision. */
inline bump() {
  k = 0;
  do
  :: k < N ->
     stale[k] = stale[k] || SWAPS(at[k]);
#ifndef MUTANT_BLIND_SWAP
     dropLate(k);
#endif
     k++
  :: else -> break
  od;
  k = 0 /* a step must not end in a loop */
}

inline dropLate(i) {
  late[i].kind = none;
  late[i].boot = 0;
  late[i].mark = 0;
  late[i].direct = false;
  late[i].orphan = false
}

inline removeHold(i) {
  hold[i].there = false;
  hold[i].rebooting = false;
  hold[i].boot = 0;
  hold[i].mark = 0;
  owes[i] = false
}

/* The place has another revision, or none: a grant that was to take it is refused. */
inline placeChanged(i) {
#ifdef MUTANT_PLACE_NOT_GUARDED
  skip
#else
  if
  :: at[i] == acquiring && !direct[i] -> stale[i] = true
  :: else
  fi;
  if
  :: late[i].kind == acquiring && !late[i].direct -> dropLate(i)
  :: else
  fi
#endif
}

inline removePlace(i) {
  k = 0;
  where = 0;
  do
  :: k < length && line[k] != i -> line[where] = line[k]; where++; k++
  :: k < length && line[k] == i -> k++
  :: else -> break
  od;
  k = where;
  do
  :: k < N -> line[k] = N; k++
  :: else -> break
  od;
  length = where;
  due[i] = false
}

/* Who comes back in time keeps its place, under a new lease; who is new goes behind all but those of less priority. */
inline enterLine(i) {
  if
  :: IN_LINE(i) -> placeChanged(i)
  :: else ->
     k = length;
     do
     :: k > 0 && i == HIGH -> line[k] = line[k - 1]; k--
     :: else -> break
     od;
     line[k] = i;
     length++
  fi;
  due[i] = true
}

inline ahead(i) {
  k = 0;
  count = 0;
  do
  :: k < length && line[k] != i -> count = count + (due[line[k]] -> 1 : 0); k++
  :: else -> break
  od
}

inline inside() {
  k = 0;
  count = 0;
  do
  :: k < N -> count = count + ((!excused[k] && (hold[k].there || pending[k] || away[k])) -> 1 : 0); k++
  :: else -> break
  od
}

/* A request does what it was sent for. */
inline land(i, request, itsBoot, itsMark, straight) {
  if
  :: request == queueing -> enterLine(i)
  :: request == acquiring ->
     ahead(i);
     PROMISE(order, count == 0 && (straight || due[i]));
     due[i] = false;
#ifndef MUTANT_PLACE_KEPT
     removePlace(i);
#endif
     hold[i].there = true;
     hold[i].rebooting = false;
     hold[i].boot = itsBoot;
     hold[i].mark = itsMark;
     proven[i] = false;
     inside();
     PROMISE(slots, count <= MAX);
     bump()
  :: request == confirming ->
     hold[i].rebooting = true;
     proven[i] = true;
     bump()
  :: request == returning || request == clearing ->
     PROMISE(ends, hold[i].boot != boot[i]);
     PROMISE(well, !owes[i]);
     removeHold(i);
     bump()
  :: request == releasing ->
     PROMISE(ends, excused[i] || (!pending[i] && !away[i]));
     removeHold(i);
     proven[i] = false;
     bump()
  :: request == withdrawing ->
     if
     :: hold[i].there && hold[i].boot == itsBoot && hold[i].mark == itsMark ->
        PROMISE(ends, excused[i] || (!pending[i] && !away[i]));
        removeHold(i)
     :: else
     fi;
     bump()
  :: else
  fi
}

/* ----------------------------------------------------------------------------------------------------- daemons */

inline send(i, what) {
  at[i] = what;
  stale[i] = false
}

/* Under a new boot. */
inline giveBack(i) {
  PROMISE(undone, prepared[i] == 0);
  send(i, returning)
}

/* A mark that no hold and no request of this machine bears. */
inline newMark(i) {
  mark[i] = 1;
  do
  :: mark[i] == hold[i].mark || mark[i] == late[i].mark -> mark[i]++
  :: else -> break
  od
}

/* The request for a slot is over: its lease ends, and with it a place that it has or that is still on its way. */
inline endRequest(i) {
  doubt[i] = false;
  direct[i] = false;
#ifndef MUTANT_LEASE_OUTLIVES_REQUEST
#ifndef MUTANT_PLACE_KEPT
  lease[i] = false;
  latePlace[i] = false
#endif
#endif
}

inline forget(i) {
  mark[i] = 0;
  tried[i] = false;
  endRequest(i);
  at[i] = ready
}

/* Goes on with the hold that the document has for this boot. */
inline adopt(i) {
  mark[i] = hold[i].mark;
#ifdef MUTANT_PHASE_NOT_READ
  tried[i] = false;
#else
  tried[i] = hold[i].rebooting;
#endif
  endRequest(i);
  at[i] = holding
}

inline committed(i) {
  stale[i] = false;
  if
  :: at[i] == queueing -> at[i] = ready
  :: at[i] == acquiring -> tried[i] = false; endRequest(i); at[i] = holding
  :: at[i] == confirming -> at[i] = confirmed
  :: at[i] == clearing -> at[i] = ready
  :: else -> forget(i) /* returning, withdrawing, releasing */
  fi
}

/* Refused, or nobody knows: only a look tells. */
inline notCommitted(i) {
  stale[i] = false;
  direct[i] = false;
  if
  :: at[i] == returning -> at[i] = recovering
  :: at[i] == queueing || at[i] == clearing || at[i] == withdrawing -> at[i] = ready
  :: at[i] == acquiring -> mark[i] = (doubt[i] -> mark[i] : 0); at[i] = ready
  :: at[i] == confirming -> at[i] = holding
  :: else -> at[i] = cancelling /* releasing */
  fi
}

inline unknown(i) {
#ifdef MUTANT_LOST_REPLY_AS_REFUSAL
  skip;
#else
  doubt[i] = doubt[i] || at[i] == acquiring || at[i] == confirming;
#endif
  notCommitted(i)
}

/* Its sender waits for the request under way no more. */
inline goAstray(i) {
  if
  :: at[i] == queueing -> latePlace[i] = true
  :: SWAPS(at[i]) && !stale[i] ->
     late[i].kind = (at[i] == clearing -> returning : at[i]);
     late[i].boot = (at[i] == acquiring || at[i] == withdrawing -> boot[i] : 0);
     late[i].mark = (at[i] == acquiring || at[i] == withdrawing -> mark[i] : 0);
     late[i].direct = direct[i];
     late[i].orphan = false
  :: else
  fi
}

inline call(i) {
  PROMISE(proof, proven[i] && (excused[i] || (HELD_BY(i, mark[i]) && hold[i].rebooting)));
  PROMISE(window, open[i]);
  PROMISE(hooked, prepared[i] == THIS_BOOT)
}

/* What was prepared is taken back by the hooks for after a boot. */
inline undo(i) {
  prepared[i] = 0
}

/* The disk remembers it before the first hook runs. */
inline prepare(i) {
#ifdef MUTANT_PREPARED_FORGOTTEN
  knows[i] = true;
#endif
  prepared[i] = THIS_BOOT
}

inline notKnown(i) {
#ifdef MUTANT_UNKNOWN_CALL_AS_REFUSAL
  at[i] = cancelling
#else
  tried[i] = true;
  at[i] = called
#endif
}

proctype daemon(byte i) {
end:
  do
  /* The store answers; it acts and the answer is lost; nobody knows when it acts, if ever. */
  :: d_step { UNDER_WAY(i) && REFUSED(i) -> notCommitted(i) }
  :: d_step { UNDER_WAY(i) && !REFUSED(i) -> land(i, at[i], boot[i], mark[i], direct[i]); committed(i) }
  :: d_step {
       UNDER_WAY(i) && !REFUSED(i) && faults > 0 ->
       faults--;
       land(i, at[i], boot[i], mark[i], direct[i]);
       unknown(i)
     }
  :: d_step { UNDER_WAY(i) && faults > 0 -> faults--; goAstray(i); unknown(i) }

  /*
   * Recovering: a hold from before the boot goes back once the hooks for after it have run and the machine is proved to
   * be well, one of this boot is gone on with. Who is not well proves itself again and again.
   */
  :: d_step { at[i] == recovering && prepared[i] == EARLIER_BOOT -> undo(i) }
#ifdef MUTANT_RETURNED_BEFORE_THE_PROOF
  :: d_step { at[i] == recovering && OF_EARLIER_BOOT(i) && WELCOMED(i) -> giveBack(i) }
#else
  :: d_step { at[i] == recovering && OF_EARLIER_BOOT(i) && WELCOMED(i) && !ill[i] -> owes[i] = false; giveBack(i) }
#endif
#ifdef MUTANT_RELEASE_UNDER_SAME_BOOT
  :: d_step { at[i] == recovering && hold[i].there && hold[i].boot == boot[i] -> send(i, returning) }
#else
  :: d_step { at[i] == recovering && WELCOMED(i) && hold[i].there && hold[i].boot == boot[i] -> adopt(i) }
#endif
  :: d_step { at[i] == recovering && WELCOMED(i) && !hold[i].there -> forget(i) }

  /*
   * Idle or before its window, and a grant came whose asker had died: the daemon before this one, perhaps before the boot. A daemon that
   * starts does not write to make it impossible, so only this look finds it.
   */
#ifndef MUTANT_NOBODY_LOOKS_AGAIN
  :: d_step { at[i] == ready && !(need[i] && open[i]) && !doubt[i] && !lease[i] && hold[i].there -> at[i] = recovering }
#endif

  /* What was prepared under a slot that is gone is taken back before anything else. */
  :: d_step { at[i] == ready && TO_UNDO(i) -> undo(i) }

  /* Asking for a slot. "Is it mine?" comes first: the grant that nobody heard of, or one from before a crash. */
  :: d_step { at[i] == ready && ASKS(i) && MINE(i) -> adopt(i) }
#ifndef MUTANT_LATE_HOLD_LEFT_ALONE
  :: d_step { at[i] == ready && ASKS(i) && OF_EARLIER_BOOT(i) -> send(i, clearing) }
#endif
  /*
   * Leaving. A grant in doubt is gone on with if it is there, and not forgotten before a write of ours ended it or made
   * it impossible. Without that write the look of an idle machine would find it in the end, so that `live` holds; but
   * until then a slot would be held for nobody, which `left` rules out.
   */
  :: d_step { at[i] == ready && doubt[i] && MINE(i) && hold[i].mark == mark[i] -> adopt(i) }
#ifdef MUTANT_FENCE_FORGOTTEN
  :: d_step { at[i] == ready && doubt[i] && !(MINE(i) && hold[i].mark == mark[i]) -> forget(i) }
#else
  :: d_step { at[i] == ready && doubt[i] -> send(i, withdrawing) }
#endif
  :: d_step {
       at[i] == ready && ASKS(i) && !hold[i].there && !FULL && length == 0 && !lease[i] ->
       if :: doubt[i] :: else -> newMark(i) fi;
       direct[i] = true;
       send(i, acquiring)
     }
  :: d_step {
       at[i] == ready && ASKS(i) && !hold[i].there && !(IN_LINE(i) && lease[i]) &&
       (FULL || length > 0 || lease[i]) ->
       lease[i] = true;
       latePlace[i] = false;
       send(i, queueing)
     }
  :: d_step {
       at[i] == ready && ASKS(i) && !hold[i].there && !FULL && lease[i] && line[0] == i ->
       if :: doubt[i] :: else -> newMark(i) fi;
       send(i, acquiring)
     }
  /* Who may not reboot does not stand in the way of others. */
  :: d_step { at[i] == ready && !(need[i] && open[i]) && !doubt[i] && lease[i] -> forget(i) }

  /* Holding: the hooks prepare the machine, then comes the last proof. Unlocked meanwhile, it starts over. */
#ifndef MUTANT_HOOKS_FORGOTTEN
  :: d_step { at[i] == holding && need[i] && open[i] && prepared[i] == 0 -> prepare(i) }
#define IS_PREPARED(i) (prepared[i] == THIS_BOOT)
#else
#define IS_PREPARED(i) true
#endif
#ifdef MUTANT_CONFIRM_FORGOTTEN
  :: d_step { at[i] == holding && need[i] && open[i] && IS_PREPARED(i) -> at[i] = confirmed }
#else
  :: d_step {
       at[i] == holding && need[i] && open[i] && IS_PREPARED(i) && HELD_BY(i, mark[i]) ->
       doubt[i] = false;
       send(i, confirming)
     }
  :: d_step { at[i] == holding && need[i] && open[i] && IS_PREPARED(i) && !HELD_BY(i, mark[i]) -> forget(i) }
#endif
  /* No reboot any more, or a confirm that nobody heard of: the slot goes back, unless a call may still come. */
  :: d_step {
       at[i] == holding && (doubt[i] || !(need[i] && open[i])) && !tried[i] ->
       doubt[i] = false;
       at[i] = cancelling
     }

  /* The moment of the call. What came of it: accepted, refused, nobody knows. */
#ifdef MUTANT_WINDOW_NOT_ASKED_AGAIN
#define MAY_CALL true
#else
#define MAY_CALL (need[i] && open[i])
#endif
  :: d_step { at[i] == confirmed && MAY_CALL -> call(i); pending[i] = true; tried[i] = true; at[i] = called }
  :: d_step {
       at[i] == confirmed && MAY_CALL && faults > 0 ->
       call(i);
       faults--;
       /* an earlier call may still come: then the slot stays */
#ifdef MUTANT_CANCEL_WHILE_CALLED
       at[i] = cancelling
#else
       at[i] = (tried[i] -> called : cancelling)
#endif
     }
  :: d_step { at[i] == confirmed && MAY_CALL && faults > 0 -> call(i); faults--; pending[i] = true; notKnown(i) }
  :: d_step { at[i] == confirmed && MAY_CALL && faults > 0 -> call(i); faults--; notKnown(i) }
  :: d_step { at[i] == confirmed && !MAY_CALL -> at[i] = (tried[i] -> holding : cancelling) }

  /* Still up: look again. */
  :: d_step { at[i] == called -> at[i] = recovering }

  /* Giving the slot back unused, with the proof that it is this one, after what was prepared was taken back. */
#ifdef MUTANT_CANCEL_WITHOUT_UNDOING
  :: d_step { at[i] == cancelling && HELD_BY(i, mark[i]) -> PROMISE(undone, prepared[i] == 0); send(i, releasing) }
#else
  :: d_step { at[i] == cancelling && TO_UNDO(i) -> undo(i) }
  :: d_step {
       at[i] == cancelling && !TO_UNDO(i) && HELD_BY(i, mark[i]) ->
       PROMISE(undone, prepared[i] == 0);
       send(i, releasing)
     }
#endif
  :: d_step { at[i] == cancelling && !HELD_BY(i, mark[i]) -> forget(i) }
  od
}

/* ------------------------------------------------------------------------------------------------- what happens */

/* The daemon dies; what it sent goes on. */
inline die(i) {
  goAstray(i);
  late[i].orphan = late[i].kind == acquiring;
  stale[i] = false;
  mark[i] = 0;
  doubt[i] = false;
  tried[i] = false;
  lease[i] = false;
#ifdef MUTANT_PREPARED_FORGOTTEN
  knows[i] = false;
#endif
  direct[i] = false
}

/* The machine goes down. */
inline goDown(i) {
  owes[i] = owes[i] || (hold[i].there && hold[i].boot == boot[i]);
  prepared[i] = (prepared[i] == 0 -> 0 : EARLIER_BOOT);
  ill[i] = false;
  at[i] = off;
  pending[i] = false
}

inline start(i) {
  boot[i]++;
  away[i] = false;
  excused[i] = false;
  proven[i] = false;
  at[i] = recovering
}

proctype world(byte i) {
end:
  do
  /* What was late lands, or never does. */
  :: d_step {
       late[i].kind != none ->
       if
       :: late[i].kind != acquiring || NEXT(i, late[i].direct) ->
          PROMISE(left, late[i].kind != acquiring || late[i].orphan || doubt[i]);
          land(i, late[i].kind, late[i].boot, late[i].mark, late[i].direct)
       :: else
       fi;
       dropLate(i)
     }
  :: d_step { late[i].kind != none -> dropLate(i) }
  :: d_step { latePlace[i] -> latePlace[i] = false; if :: IN_LINE(i) :: else -> enterLine(i) fi }
  :: d_step { latePlace[i] -> latePlace[i] = false }

  /* A place dies with its lease: some time after its owner, or because nobody could renew it. */
  :: d_step { IN_LINE(i) && !lease[i] -> placeChanged(i); removePlace(i) }
  :: d_step { IN_LINE(i) && lease[i] && faults > 0 -> faults--; placeChanged(i); removePlace(i); lease[i] = false }

  /* The reboot, and the boot. */
  :: d_step {
       pending[i] && at[i] != off ->
       PROMISE(covered, excused[i] || (hold[i].there && hold[i].boot == boot[i]));
       die(i);
       goDown(i);
       away[i] = true;
       inside();
       PROMISE(slots, count <= MAX)
     }
  :: d_step { at[i] == off -> start(i); need[i] = false }
  :: d_step { at[i] == off && need[i] && !away[i] -> start(i) }

  /* The daemon crashes. Power fails. */
  :: d_step { at[i] != off && at[i] != recovering && faults > 0 -> faults--; die(i); at[i] = recovering }
  :: d_step { at[i] != off && faults > 0 -> faults--; die(i); goDown(i) }

  /* It is not well after the boot; and gets well. */
  :: d_step { at[i] == recovering && OF_EARLIER_BOOT(i) && !ill[i] && faults > 0 -> faults--; ill[i] = true }
  :: d_step { ill[i] -> ill[i] = false }

  /* An administrator unlocks. */
  :: d_step { hold[i].there && faults > 0 -> faults--; removeHold(i); excused[i] = true; bump() }

  /* The window closes, and opens. The need goes away before anything was confirmed. */
  :: d_step { open[i] && need[i] && faults > 0 -> faults--; open[i] = false }
  :: d_step { !open[i] -> open[i] = true }
  :: d_step {
       need[i] && faults > 0 && !tried[i] && !pending[i] && !hold[i].rebooting && late[i].kind != confirming &&
       at[i] != confirming && at[i] != confirmed && at[i] != off ->
       faults--;
       need[i] = false
     }

#ifdef MUTANT_HOLD_DIES_WITH_DAEMON
  /* A hold on the lease of the daemon that took it. */
  :: d_step { hold[i].there && hold[i].boot == boot[i] && at[i] == recovering -> removeHold(i); bump() }
#endif
#ifdef MUTANT_HOLD_EXPIRES
  /* A hold on a lease goes as a place goes. */
  :: d_step { hold[i].there && at[i] == off -> removeHold(i); bump() }
#endif
  od
}

#define QUIET(i) (!need[i] && !hold[i].there && prepared[i] == 0 && at[i] == ready)
#if N == 2
#define ALL_QUIET (QUIET(0) && QUIET(1))
#else
#define ALL_QUIET (QUIET(0) && QUIET(1) && QUIET(2))
#endif

init {
  atomic {
    k = 0;
    do
    :: k < N -> line[k] = N; k++
    :: else -> break
    od;
    k = 0;
    do
    :: k < N -> run daemon(k); run world(k); k++
    :: else -> break
    od
  };
  /* Where nothing can happen any more, nobody may be left waiting. */
end:
  do
  :: timeout -> PROMISE(live, ALL_QUIET)
  od
}

ltl settles { <>[] ALL_QUIET }
