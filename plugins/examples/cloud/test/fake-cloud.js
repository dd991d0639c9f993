// A fake cloud on 127.0.0.1: machines page by page, and a metadata service.

import { createServer } from 'node:http';

import { sign } from '../src/signature.js';

export const KEYS = { access: 'AKIDEXAMPLE', secret: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' };
export const ROLE_KEYS = { access: 'ASIAROLE', secret: 'role-secret', session: 'role-session' };
const REGION = 'eu-central-1';

export class FakeCloud {
  machines = [];
  /** Errors that are returned first, in order: `[status, code, message]`. */
  failures = [];
  role = 'shop-role';
  keysLastMs = 6 * 3_600_000;
  requests = [];
  forms = [];

  async start(port = 0) {
    this.server = createServer((request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (part) => (body += part)).on('end', async () => {
        const [status, text] = await this.answer(request, body);
        response.writeHead(status).end(text);
      });
    });
    await new Promise((up) => this.server.listen(port, '127.0.0.1', up));
    this.url = `http://127.0.0.1:${this.server.address().port}`;
    return this;
  }

  stop() {
    this.server.closeAllConnections();
    return new Promise((down) => this.server.close(down));
  }

  async answer({ method, url, headers }, body) {
    this.requests.push(`${method} ${url}`);
    if (method === 'POST' && url === '/') {
      return this.describe(headers, body);
    }
    if (method === 'PUT' && url === '/latest/api/token') {
      return headers['x-aws-ec2-metadata-token-ttl-seconds'] ? [200, 'metadata-token'] : [400, ''];
    }
    if (headers['x-aws-ec2-metadata-token'] !== 'metadata-token') {
      return [401, ''];
    }
    const roles = '/latest/meta-data/iam/security-credentials/';
    if (this.role !== undefined && url === roles) {
      return [200, `${this.role}\n`];
    }
    if (this.role !== undefined && url === roles + this.role) {
      return [200, JSON.stringify({
        Code: 'Success',
        AccessKeyId: ROLE_KEYS.access,
        SecretAccessKey: ROLE_KEYS.secret,
        Token: ROLE_KEYS.session,
        Expiration: new Date(Date.now() + this.keysLastMs).toISOString(),
      })];
    }
    return [404, ''];
  }

  async describe(headers, body) {
    const failure = this.failures.shift();
    if (failure) {
      return [failure[0], error(failure[1], failure[2])];
    }
    if (!(await this.isSigned(headers, body))) {
      return [403, error('SignatureDoesNotMatch', 'The request signature we calculated does not match')];
    }
    const form = new URLSearchParams(body);
    this.forms.push(form);
    const from = Number(form.get('NextToken') ?? 0);
    const to = from + Number(form.get('MaxResults'));
    const next = to < this.machines.length ? `<nextToken>${to}</nextToken>` : '';
    return [200, page(this.machines.slice(from, to), next)];
  }

  async isSigned(headers, body) {
    const keys = [KEYS, ROLE_KEYS].find(({ access }) => headers.authorization?.includes(`Credential=${access}/`));
    if (!keys || (headers['x-amz-security-token'] ?? '') !== (keys.session ?? '')) {
      return false;
    }
    const [, y, mo, d, h, mi, s] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(headers['x-amz-date']);
    const request = {
      method: 'POST',
      url: `http://${headers.host}/`,
      headers: { 'content-type': headers['content-type'] },
      body,
    };
    const date = new Date(Date.UTC(y, mo - 1, d, h, mi, s));
    const signed = await sign(request, keys, { region: REGION, service: 'ec2', date });
    return signed.authorization === headers.authorization;
  }
}

export function machine(id, address) {
  const interfaces = address
    ? `<privateIpAddress>${address}</privateIpAddress>`
    : '';
  return `<item><reservationId>r-${id}</reservationId><groupSet/><instancesSet><item>
    <instanceId>${id}</instanceId><instanceState><code>16</code><name>running</name></instanceState>
    <placement><availabilityZone>eu-central-1a</availabilityZone><groupName/></placement>${interfaces}
    <tagSet><item><key>Name</key><value>a &amp; b</value></item></tagSet>
    <networkInterfaceSet><item><privateIpAddress>10.255.0.1</privateIpAddress></item></networkInterfaceSet>
    </item></instancesSet></item>`;
}

export function page(machines, next = '') {
  return `<?xml version="1.0" encoding="UTF-8"?>
    <DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
    <requestId>r</requestId><reservationSet>${machines.join('')}</reservationSet>${next}
    </DescribeInstancesResponse>`;
}

function error(code, message) {
  return `<Response><Errors><Error><Code>${code}</Code><Message>${message}</Message></Error></Errors></Response>`;
}
