/* SPDX-License-Identifier: Apache-2.0 */
#define HELLO_VERSION "1"
