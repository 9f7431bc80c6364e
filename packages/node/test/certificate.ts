/**
 * A self-signed certificate for `localhost`, made where it is used: no private key is kept in the repository, and nothing
 * expires. X.509 in DER (RFC 5280) by hand, signed with ECDSA over P-256.
 */
import { generateKeyPairSync, randomBytes, sign } from "node:crypto"

const der = (tag: number, ...parts: ReadonlyArray<Uint8Array>): Buffer => {
  const body = Buffer.concat(parts)
  const length = body.length < 128
    ? [body.length]
    : body.length < 256
    ? [0x81, body.length]
    : [0x82, body.length >> 8, body.length & 255]
  return Buffer.concat([Buffer.from([tag, ...length]), body])
}

const sequence = (...parts: ReadonlyArray<Uint8Array>): Buffer => der(0x30, ...parts)
const bytes = (hex: string): Buffer => Buffer.from(hex, "hex")

const ecdsaWithSha256 = sequence(der(0x06, bytes("2a8648ce3d040302")))
const commonName = sequence(der(0x31, sequence(der(0x06, bytes("550403")), der(0x0c, Buffer.from("localhost")))))

/** From 2020 to 2049, the last year that the short form of a date can say. */
const validity = sequence(der(0x17, Buffer.from("200101000000Z")), der(0x17, Buffer.from("491231235959Z")))

/** Names that the certificate is for: `localhost` and 127.0.0.1. */
const names = sequence(
  der(0x06, bytes("551d11")),
  der(0x04, sequence(der(0x82, Buffer.from("localhost")), der(0x87, Buffer.from([127, 0, 0, 1]))))
)

/** An authority, so that a client may be told to trust it. */
const authority = sequence(
  der(0x06, bytes("551d13")),
  der(0x01, bytes("ff")),
  der(0x04, sequence(der(0x01, bytes("ff"))))
)

export interface Certificate {
  readonly key: string
  readonly cert: string
}

export const selfSigned = (): Certificate => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const serial = Buffer.concat([Buffer.from([1]), randomBytes(8)])
  const toBeSigned = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, serial),
    ecdsaWithSha256,
    commonName,
    validity,
    commonName,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(names, authority))
  )
  const signature = sign("sha256", toBeSigned, privateKey)
  const certificate = sequence(toBeSigned, ecdsaWithSha256, der(0x03, Buffer.from([0]), signature))
  const lines = certificate.toString("base64").match(/.{1,64}/g) ?? []
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    cert: `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`
  }
}
