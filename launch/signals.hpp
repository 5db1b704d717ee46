// USR1, USR2 and TERM ask a run to save and stop. A thread waits for them and sets a flag; the
// ranks agree on it before a step.
#pragma once

namespace lockstep {

// To be called once, before any other thread starts: the signals then interrupt no computation. A
// second one only sets the flag again.
void catch_stop_signals();
bool stop_requested();

}  // namespace lockstep
