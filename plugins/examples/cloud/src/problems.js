// Why a call failed, classified by how the host reacts. The texts are for an operator, and
// start with the offending value.

export class Problem extends Error {
  /** @param {'misconfigured' | 'denied' | 'temporary' | 'failed'} tag */
  constructor(tag, text) {
    super(text);
    this.tag = tag;
  }
}

export const misconfigured = (text) => new Problem('misconfigured', text);
export const denied = (text) => new Problem('denied', text);
export const temporary = (text) => new Problem('temporary', text);
export const failed = (text) => new Problem('failed', text);
