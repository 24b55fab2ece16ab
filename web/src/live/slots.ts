/**
 * A browser has six connections for a server over HTTP/1.1, all tabs together: with a stream in each, the seventh tab
 * would hang. So at most four tabs hold one at a time; the others ask.
 */
const most = 4;

/** Takes one of the browser's places for a stream, and answers what gives it back; null if all are taken. */
export async function takeSlot(): Promise<(() => void) | null> {
  if (!navigator.locks) return () => {}; // without TLS, and not on this machine: a page that is hidden gives its own up
  for (let n = 0; n < most; n++) {
    const got = await new Promise<(() => void) | null>((resolve) => {
      navigator.locks
        .request(`errand.stream.${n}`, { ifAvailable: true }, (lock) => (lock ? new Promise<void>((free) => resolve(free)) : resolve(null)))
        .catch(() => resolve(null));
    });
    if (got) return got;
  }
  return null;
}
