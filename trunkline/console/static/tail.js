// A topic's live tail; see pages/topics. Started for each element with data-tail.
export function startTails() {}
